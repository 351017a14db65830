"""The table of a comparison of engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tvm_sparse.bench.peers.record import EngineResult, Latency, PeersRecord, best_rival
from tvm_sparse.report.figures import figure, spread_of

#: Operators whose counts tell whether attention, GELU and layer norm were fused.
_TELLING = (
    *("Attention", "QAttention", "ScaledDotProductAttention", "BiasGelu"),
    *("SkipLayerNormalization", "FullyConnected", "MatMul", "Softmax", "Subgraph"),
)
#: Ratios have two digits after the point, at most.
_FINEST_RATIO = 0.01


def render_peers(record: PeersRecord, threads: int) -> Table:
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
    plural = "s" if threads != 1 else ""
    title = f"{record.subject}{_shape(record.spec)}, {threads} thread{plural}"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    # Many columns: one space between two of them, not two.
    table.padding = (0, 1, 0, 0)
    # At least as wide as its title, which rich would wrap otherwise.
    table.min_width = len(title)
    table.add_column("engine", no_wrap=True)
    for name in ("median ms", "p10 ms", "p90 ms", "vs best", "(p10)", "max error"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(Text(result.label), *_numbers(result, rival))
    return table


def describe_engines(record: PeersRecord, threads: int) -> list[str]:
    """Return a line per engine on how it ran, or why it did not."""
    return [f"{result.label}: {note}" for result in record.at(threads) if (note := _note(result))]


def describe_rival(record: PeersRecord, threads: int) -> str:
    """Return one line that names the engine the ratios of a table are over."""
    rival = best_rival(record.at(threads))
    if rival is None:
        return "No open dense engine was measured: there is nothing to compare with."
    plural = "s" if threads != 1 else ""
    return (
        f"vs best: the median of the best open dense engine with {threads} thread{plural}, "
        f"{rival.label} {rival.version}, over that of the row; (p10): the same ratio of tenth "
        "percentiles."
    )


def _numbers(result: EngineResult, rival: EngineResult | None) -> list[str]:
    error = result.max_absolute_error
    shown_error = "-" if error is None else f"{error:.1e}"
    latency = result.latency_ms
    if latency is None:
        return [*["-"] * 5, shown_error]
    over = rival.latency_ms if rival else None
    return [
        *(_milliseconds(latency, value) for value in (latency.median, latency.p10, latency.p90)),
        "-" if over is None else _ratio(over, latency, over.median / latency.median),
        "-" if over is None else _ratio(over, latency, over.p10 / latency.p10),
        shown_error,
    ]


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
    return f", batch {model['batch']}, {model['seq_len']} tokens" if "batch" in model else ""
