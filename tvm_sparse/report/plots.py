"""Pictures of records: records in, PNG files out; nothing is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tvm_sparse.bench.peers.record import EngineResult, PeersRecord, best_rival
from tvm_sparse.errors import BuildError, DependencyError

# Told apart in greyscale and by colour-blind readers too (Okabe and Ito's palette).
_COLOURS = {"sparse": "#0072B2", "dense": "#56B4E9", "peer": "#BBBBBB", "int8": "#E69F00"}
_LEGEND = {
    "sparse": "tvm_sparse, sparse",
    "dense": "tvm_sparse, dense",
    "peer": "other engine, fp32",
    "int8": "other engine, INT8",
}
_BAR_INCHES = 0.32
_WIDTH_INCHES = 9.0


def save_peers_chart(record: PeersRecord, path: Path) -> None:
    """Draw median latencies as bars, a panel per number of threads, and write a PNG.

    Whiskers reach from the 10th to the 90th percentile; the number at a bar is its median and,
    where an open dense engine was measured, how many times faster than the best of those it is.

    Raises
    ------
    DependencyError
        If matplotlib is not installed.
    BuildError
        If nothing was measured, or the file cannot be written.
    """
    figure = draw_peers(record)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=140, metadata={"Software": None})
    except OSError as error:
        raise BuildError(f"{path} cannot be written: {error.strerror or error}") from None


def figure_class() -> Any:
    """Return matplotlib's `Figure`.

    Raises
    ------
    DependencyError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError(
            f"matplotlib cannot be imported ({error}): pip install 'tvm_sparse[report]'"
        ) from None
    return Figure


def draw_peers(record: PeersRecord) -> Any:
    """Return the chart as a matplotlib figure; see `save_peers_chart`."""
    panels = {threads: _measured(record, threads) for threads in record.threads}
    panels = {threads: results for threads, results in panels.items() if results}
    if not panels:
        raise BuildError("nothing was measured: there is no chart to draw")
    heights = [len(results) for results in panels.values()]
    figure = figure_class()(
        figsize=(_WIDTH_INCHES, _BAR_INCHES * sum(heights) + 0.9 * len(heights) + 0.6),
        layout="constrained",
    )
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (threads, results) in zip(axes, panels.items(), strict=True):
        _draw_panel(axis, results, f"{threads} thread{'s' if threads != 1 else ''}")
    kinds = {_kind(result) for results in panels.values() for result in results}
    handles = [_swatch(_COLOURS[kind]) for kind in _COLOURS if kind in kinds]
    labels = [_LEGEND[kind] for kind in _COLOURS if kind in kinds]
    axes[0].legend(handles, labels, loc="lower right", fontsize=8, frameon=False)
    axes[-1].set_xlabel("latency of one inference (ms): median, p10 to p90")
    figure.suptitle(_title(record), fontsize=10)
    return figure


def _draw_panel(axis: Any, results: list[EngineResult], title: str) -> None:
    rival = best_rival(results)
    rival_ms = rival.latency_ms.median if rival and rival.latency_ms else None
    longest = max(r.latency_ms.p90 for r in results if r.latency_ms)
    for row, result in enumerate(results):
        latency = result.latency_ms
        if latency is None:
            continue
        axis.barh(row, latency.median, color=_COLOURS[_kind(result)], height=0.75)
        axis.plot([latency.p10, latency.p90], [row, row], color="black", linewidth=1)
        ratio = f"  ({rival_ms / latency.median:.2f}x)" if rival_ms else ""
        axis.text(
            latency.p90 + 0.01 * longest,
            row,
            f"{latency.median:.3g} ms{ratio}",
            va="center",
            fontsize=8,
        )
    axis.set_yticks(range(len(results)), [result.label for result in results], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.22 * longest)
    axis.set_title(title, loc="left", fontsize=9)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _measured(record: PeersRecord, threads: int) -> list[EngineResult]:
    """Return what was measured, slowest first."""
    results = [result for result in record.at(threads) if result.latency_ms is not None]
    return sorted(results, key=lambda r: -(r.latency_ms.median if r.latency_ms else 0.0))


def _kind(result: EngineResult) -> str:
    if result.name == "tvm_sparse":
        return "dense" if result.sparsity is None else "sparse"
    return "peer" if result.precision == "fp32" else "int8"


def _swatch(colour: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour)


def _title(record: PeersRecord) -> str:
    model = record.spec.get("model", {})
    shape = f", batch {model['batch']}, {model['seq_len']} tokens" if "batch" in model else ""
    rival = "times faster than the best open dense engine in brackets"
    return f"{record.subject}{shape} on {record.environment.cpu_model}; {rival}"
