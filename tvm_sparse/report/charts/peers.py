"""The medians of a comparison with other engines, a panel per number of threads."""

from __future__ import annotations

from typing import Any

from tvm_sparse.bench.peers.record import EngineResult, PeersRecord, best_rival
from tvm_sparse.errors import BuildError
from tvm_sparse.report.charts.elements import Chart, axis, layer
from tvm_sparse.report.charts.palette import INK
from tvm_sparse.words import counted

# Told apart in greyscale and by colour-blind readers too (Okabe and Ito's palette).
_COLOURS = {
    "tvm_sparse, sparse INT8": "#00573F",
    "tvm_sparse, dense INT8": "#009E73",
    "tvm_sparse, sparse": "#0072B2",
    "tvm_sparse, dense": "#56B4E9",
    "other engine, fp32": "#BBBBBB",
    "other engine, INT8": "#E69F00",
}


def peers_chart(record: PeersRecord) -> Chart:
    """Draw median latencies as bars, a panel per number of threads, slowest first.

    Whiskers reach from the 10th to the 90th percentile; the number at a bar is its median and,
    where an open dense engine was measured, how many times faster than the best of those it is.

    Raises
    ------
    BuildError
        If nothing was measured.
    """
    panels = {threads: _measured(record, threads) for threads in record.threads}
    panels = {threads: results for threads, results in panels.items() if results}
    if not panels:
        raise BuildError("nothing was measured: there is no chart to draw")
    kinds = {_kind(result) for results in panels.values() for result in results}
    return {
        "description": "Whiskers: 10th to 90th percentile. In brackets: times faster than the "
        "best open dense engine.",
        "vconcat": [
            _panel(results, _panel_title(record, threads), kinds)
            for threads, results in panels.items()
        ],
    }


def peers_title(record: PeersRecord) -> str:
    """Return what was compared, and where."""
    model = record.spec.get("model", {})
    shape = f", batch {model['batch']}, {model['seq_len']} tokens" if "batch" in model else ""
    return f"{record.subject}{shape} on {record.environment.cpu_model}"


def _panel_title(record: PeersRecord, threads: int) -> str:
    found = record.disturbance_at(threads)
    doubt = "; busy machine: unreliable" if found and found.is_high else ""
    return f"{counted(threads, 'thread')}{doubt}"


def _panel(results: list[EngineResult], title: str, kinds: set[str]) -> Chart:
    rival = best_rival(results)
    rival_ms = rival.latency_ms.median if rival and rival.latency_ms else None
    rows: list[dict[str, Any]] = [
        {
            "engine": result.label,
            "kind": _kind(result),
            "median": latency.median,
            "p10": latency.p10,
            "p90": latency.p90,
            "text": f"{latency.median:.3g} ms"
            + (f" ({rival_ms / latency.median:.2f}x)" if rival_ms else ""),
        }
        for result in results
        if (latency := result.latency_ms)
    ]
    longest = max(row["p90"] for row in rows)
    x = axis("latency of one inference (ms), median", domain=[0, 1.22 * longest])
    names = {"labelLimit": 400}
    y = {"field": "engine", "type": "nominal", "sort": None, "title": None, "axis": names}
    shown = [kind for kind in _COLOURS if kind in kinds]
    scale = {"domain": shown, "range": [_COLOURS[kind] for kind in shown]}
    legend = {"columns": 3}
    colour = {"field": "kind", "type": "nominal", "title": None, "scale": scale, "legend": legend}
    spread = {"x": {**x, "field": "p10"}, "x2": {"field": "p90"}}
    return {
        "title": title,
        "width": 560,
        "height": {"step": 21},
        "layer": [
            layer(rows, {"type": "bar"}, {"y": y, "x": {**x, "field": "median"}, "color": colour}),
            layer(rows, {"type": "rule", "color": INK}, {"y": y, **spread}),
            layer(
                rows,
                {"type": "text", "align": "left", "dx": 6, "color": INK},
                {"y": y, "x": {**x, "field": "p90"}, "text": {"field": "text"}},
            ),
        ],
    }


def _measured(record: PeersRecord, threads: int) -> list[EngineResult]:
    """Return what was measured, slowest first."""
    results = [result for result in record.at(threads) if result.latency_ms is not None]
    return sorted(results, key=lambda r: -(r.latency_ms.median if r.latency_ms else 0.0))


def _kind(result: EngineResult) -> str:
    if result.name == "tvm_sparse":
        weights = "dense" if result.sparsity is None else "sparse"
        return f"tvm_sparse, {weights}" + " INT8" * (result.precision == "int8")
    return f"other engine, {'fp32' if result.precision == 'fp32' else 'INT8'}"
