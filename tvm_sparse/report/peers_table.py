"""The table of a comparison of engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm_sparse.bench.output_error import OutputError
from tvm_sparse.bench.peers.record import EngineResult, Latency, PeersRecord, best_rival
from tvm_sparse.model.facts import input_words
from tvm_sparse.report.figures import figure, spread_of
from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.words import counted

#: Operators whose counts tell whether attention, GELU and layer norm were fused.
_TELLING = (
    *("Attention", "QAttention", "ScaledDotProductAttention", "BiasGelu"),
    *("SkipLayerNormalization", "FullyConnected", "MatMul", "Softmax", "Subgraph"),
)
#: Ratios have two digits after the point, at most.
_FINEST_RATIO = 0.01


def render_peers(record: PeersRecord, threads: int) -> FittedTable:
    """Return the table of a record at one number of threads.

    Parameters
    ----------
    record : PeersRecord
        What was measured.
    threads : int
        One of `record.threads`.
    """
    results = record.at(threads)
    rival = best_rival(results)
    table = FittedTable(f"{record.subject}{_shape(record.spec)}, {counted(threads, 'thread')}")
    table.add_column("engine")
    for name, spare in (
        *(("median ms", 0), ("p10 ms", 2), ("p90 ms", 3)),
        *(("vs best", 0), ("(p10)", 0), ("max error", 1), ("L2 error", 1)),
    ):
        table.add_column(name, right=True, spare=spare)
    for result in results:
        table.add_row(result.label, *_numbers(result, rival))
    return table


def describe_engines(record: PeersRecord, threads: int) -> list[str]:
    """Return a line per engine on how it ran, or why it did not."""
    return [f"{result.label}: {note}" for result in record.at(threads) if (note := _note(result))]


def describe_rival(record: PeersRecord, threads: int) -> str:
    """Return one line that names the engine the ratios of a table are over."""
    rival = best_rival(record.at(threads))
    if rival is None:
        return "No open dense engine was measured: there is nothing to compare with."
    return (
        f"vs best: the median of the best open dense engine with {counted(threads, 'thread')}, "
        f"{rival.label} {rival.version}, over that of the row; (p10): the same ratio of tenth "
        "percentiles."
    )


def _numbers(result: EngineResult, rival: EngineResult | None) -> list[str]:
    error = result.max_absolute_error
    shown_error = ["-" if error is None else f"{error:.1e}", _share(result.error)]
    latency = result.latency_ms
    if latency is None:
        return [*["-"] * 5, *shown_error]
    over = rival.latency_ms if rival else None
    return [
        *(_milliseconds(latency, value) for value in (latency.median, latency.p10, latency.p90)),
        "-" if over is None else _ratio(over, latency, over.median / latency.median),
        "-" if over is None else _ratio(over, latency, over.p10 / latency.p10),
        *shown_error,
    ]


def _share(error: OutputError | None) -> str:
    return "-" if error is None else f"{error.relative_l2:.2%}"


def _milliseconds(latency: Latency, value: float) -> str:
    return figure(value, spread_of(latency.round_median))


def _ratio(over: Latency, latency: Latency, ratio: float) -> str:
    """Return a ratio with the digits that the paired rounds agree on."""
    pairs = zip(over.round_median, latency.round_median, strict=False)
    spread = spread_of([one / other for one, other in pairs])
    return f"{figure(ratio, max(spread, _FINEST_RATIO))}x"


def _note(result: EngineResult) -> str:
    if result.status != "measured":
        return f"{result.status} ({result.detail})"
    operators: Mapping[str, Any] = result.facts.get("operators", {})
    counts = [f"{operators[name]} {name}" for name in _TELLING if name in operators]
    others = [f"{key}: {value}" for key, value in result.facts.items() if key != "operators"]
    return ", ".join([*counts, *others])


def _shape(spec: Mapping[str, Any]) -> str:
    model = spec.get("model", {})
    return f", {input_words(model, model['batch'], model['seq_len'])}" if "batch" in model else ""
