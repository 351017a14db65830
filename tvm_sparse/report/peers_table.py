"""The table of a comparison of engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tvm_sparse.bench.peers.record import EngineResult, PeersRecord, best_rival

#: Operators whose counts tell whether attention, GELU and layer norm were fused.
_TELLING = (
    *("Attention", "QAttention", "ScaledDotProductAttention", "BiasGelu"),
    *("SkipLayerNormalization", "FullyConnected", "MatMul", "Softmax", "Subgraph"),
)


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
    # At least as wide as its title, which rich would wrap otherwise.
    table.min_width = len(title)
    table.add_column("engine", no_wrap=True)
    for name in ("median ms", "p10 ms", "p90 ms", "vs best", "max error"):
        table.add_column(name, justify="right")
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
        f"{rival.label} {rival.version}, over that of the row."
    )


def _numbers(result: EngineResult, rival: EngineResult | None) -> list[str]:
    error = result.max_absolute_error
    shown_error = "-" if error is None else f"{error:.1e}"
    latency = result.latency_ms
    if latency is None:
        return [result.status, "-", "-", "-", shown_error]
    over = rival.latency_ms.median if rival and rival.latency_ms else None
    return [
        f"{latency.median:.3f}",
        f"{latency.p10:.3f}",
        f"{latency.p90:.3f}",
        "-" if over is None else f"{over / latency.median:.2f}x",
        shown_error,
    ]


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
