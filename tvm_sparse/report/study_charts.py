"""The interactive charts of a study, as Plotly figures in JSON form.

Plain dicts: the Plotly that draws them is the one in the page, and nothing is imported here. They
name no background or text colour; the page sets those for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm_sparse.report.palette import NEUTRAL, PARTS, series_colour
from tvm_sparse.report.study_rows import (
    Shape,
    StudyRow,
    blocks_of,
    dense_row,
    ideal_speedup,
    limit_of,
    sparse_rows,
)

Figure = dict[str, Any]

#: Predictions are meant to be within this share of a measurement.
TOLERANCE = 0.15
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
#: Sparsities are drawn on a logarithmic axis of density, which ends here.
_LEAST_DENSITY = 1e-3


def speedup_chart(rows: Sequence[StudyRow], shape: Shape) -> Figure:
    """Draw the speed-up over sparsity, a line per block shape, with break-even and limit.

    Lines are predictions, symbols with 80 % ranges are measurements.
    """
    blocks = blocks_of(rows)
    data: list[dict[str, Any]] = []
    for index, block in enumerate(blocks):
        found = sparse_rows(rows, shape, block)
        look = {"color": series_colour(index), "symbol": _SYMBOLS[index % len(_SYMBOLS)]}
        data += _speedup_traces(found, block, look)
    used = [row for row in rows if row.shape == shape and row.block_shape]
    data += _legend_of_marks(used)
    layout = _sparsity_layout(used, "speed-up over dense (times)")
    shapes = [_horizontal(1.0, "solid")]
    notes = [_note(1.0, "break-even", "right")]
    limits = {block: limit_of(rows, shape, block) for block in blocks}
    for limit in sorted({value for value in limits.values() if value}, reverse=True):
        # Usually one: blocks differ in it only where some of them do not divide a layer.
        which = [block for block, value in limits.items() if value == limit]
        of = "" if len(which) == len(blocks) else f" of {', '.join(which)}"
        data.append(_ideal_trace(limit, used, f"non-zeros alone{of}"))
        shapes.append(_horizontal(limit, "dash"))
        notes.append(_note(limit, f"Amdahl's limit{of}: {limit:.2f}×", "left"))
    layout["yaxis"]["rangemode"] = "tozero"
    return {"data": data, "layout": {**layout, "shapes": shapes, "annotations": notes}}


def parts_chart(rows: Sequence[StudyRow], shape: Shape, block: str) -> Figure:
    """Draw the latency by part as stacked bars: dense, then one block shape over sparsity."""
    dense = dense_row(rows, shape)
    shown = [*([dense] if dense else []), *sparse_rows(rows, shape, block)]
    shown = [row for row in shown if row.parts_ms]
    labels = ["dense" if row.build == "dense" else percent(row.sparsity) for row in shown]
    data = [
        {
            "type": "bar",
            "name": part,
            "x": labels,
            "y": [row.parts_ms.get(part) for row in shown],
            "customdata": [row.parts_from for row in shown],
            "marker": {"color": colour},
            "hovertemplate": f"%{{x}}: {part} %{{y:.3g}} ms (%{{customdata}})<extra></extra>",
        }
        for part, colour in PARTS.items()
    ]
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": f"zero blocks of {block}"}, "type": "category"},
        "yaxis": {"title": {"text": "latency (ms)"}, "rangemode": "tozero"},
        "legend": {"traceorder": "normal"},
    }
    return {"data": data, "layout": layout}


def memory_chart(rows: Sequence[StudyRow], shape: Shape) -> Figure:
    """Draw the size of the weights in memory over sparsity, a line per block shape."""
    data = []
    for index, block in enumerate(blocks_of(rows)):
        found = [row for row in sparse_rows(rows, shape, block) if row.weights_bytes is not None]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": block,
                "x": [sparsity_axis(row.sparsity) for row in found],
                "y": [(row.weights_bytes or 0) / 1e6 for row in found],
                "customdata": [percent(row.sparsity) for row in found],
                "line": {"color": series_colour(index)},
                "marker": {"symbol": _SYMBOLS[index % len(_SYMBOLS)], "size": 8},
                "hovertemplate": f"{block}, %{{customdata}} zero blocks: %{{y:.4g}} MB"
                "<extra></extra>",
            }
        )
    used = [row for row in rows if row.shape == shape and row.block_shape]
    layout = _sparsity_layout(used, "weights in memory (MB)")
    layout["yaxis"]["rangemode"] = "tozero"
    dense = dense_row(rows, shape)
    if dense and dense.weights_bytes:
        size = dense.weights_bytes / 1e6
        layout["shapes"] = [_horizontal(size, "solid")]
        layout["annotations"] = [_note(size, f"dense, {size:.4g} MB", "right")]
    return {"data": data, "layout": layout}


def prediction_chart(rows: Sequence[StudyRow]) -> Figure:
    """Draw predicted over measured latency of every measured build, with the tolerance around."""
    both = [row for row in rows if row.adjusted_ms and row.measured_ms]
    if not both:
        return {"data": [], "layout": {}}
    values = [value for row in both for value in (row.adjusted_ms or 0, row.measured_ms or 0)]
    low, high = 0.85 * min(values), 1.15 * max(values)
    ends = [low, high]
    data: list[dict[str, Any]] = [
        _line(ends, [v * (1 - TOLERANCE) for v in ends], "", False, fill=""),
        _line(
            ends, [v * (1 + TOLERANCE) for v in ends], f"within {TOLERANCE:.0%}", True, "tonexty"
        ),
        _line(ends, ends, "equal", True, fill=""),
    ]
    data[2]["line"] = {"color": NEUTRAL, "width": 1.5, "dash": "solid"}
    for index, block in enumerate(["", *blocks_of(rows)]):
        found = [row for row in both if row.block_shape == block]
        if not found:
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": block or "dense",
                "x": [row.measured_ms for row in found],
                "y": [row.adjusted_ms for row in found],
                "customdata": [
                    [
                        f"{block or 'dense'}{f' at {percent(row.sparsity)}' if block else ''}, "
                        f"{row.shape}",
                        f"{row.prediction_error or 0:+.1%}",
                    ]
                    for row in found
                ],
                "marker": {
                    "color": series_colour(index - 1) if block else NEUTRAL,
                    "symbol": _SYMBOLS[(index - 1) % len(_SYMBOLS)] if block else "x",
                    "size": 10,
                },
                "hovertemplate": "%{customdata[0]}<br>measured %{x:.4g} ms, predicted "
                "%{y:.4g} ms (%{customdata[1]})<extra></extra>",
            }
        )
    # A logarithmic axis is read with less ease: only where the values need it.
    scale = "log" if high / low > 8 else "linear"
    span = [math.log10(low), math.log10(high)] if scale == "log" else [low, high]
    axis = {"type": scale, "range": span}
    layout = {
        "xaxis": {**axis, "title": {"text": "measured latency (ms)"}},
        "yaxis": {**axis, "title": {"text": "predicted latency (ms)"}},
        "legend": {"traceorder": "normal"},
    }
    return {"data": data, "layout": layout}


def pareto_chart(rows: Sequence[StudyRow], shape: Shape) -> Figure:
    """Draw speed-up over fidelity, by block shape and method, and the front of the best."""
    known = [r for r in rows if r.shape == shape and r.fidelity is not None and r.speedup]
    methods = sorted({row.method for row in known})
    data: list[dict[str, Any]] = []
    for index, block in enumerate(blocks_of(known)):
        for symbol, method in zip(_SYMBOLS * len(methods), methods, strict=False):
            found = [r for r in known if r.block_shape == block and r.method == method]
            if not found:
                continue
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": f"{block} {method}".strip(),
                    "x": [row.fidelity for row in found],
                    "y": [row.speedup for row in found],
                    "customdata": [percent(row.sparsity) for row in found],
                    "marker": {"color": series_colour(index), "symbol": symbol, "size": 10},
                    "hovertemplate": f"{block} {method}, %{{customdata}} zero blocks<br>"
                    "fidelity %{x:.4f}, %{y:.2f}×<extra></extra>",
                }
            )
    front = pareto_front(known)
    if len(front) > 1:
        data.insert(
            0,
            {
                "type": "scatter",
                "mode": "lines",
                "name": "best of all",
                "x": [row.fidelity for row in front],
                "y": [row.speedup for row in front],
                "line": {"color": NEUTRAL, "dash": "dot", "shape": "linear"},
                "hoverinfo": "skip",
            },
        )
    layout = {
        "xaxis": {"title": {"text": "fidelity to the dense model (1 = equal)"}},
        "yaxis": {"title": {"text": "speed-up over dense (times)"}},
        "shapes": [_horizontal(1.0, "solid")],
        "annotations": [_note(1.0, "break-even", "left")],
    }
    return {"data": data, "layout": layout}


def pareto_front(rows: Sequence[StudyRow]) -> list[StudyRow]:
    """Return the rows that no other one beats in fidelity and speed-up, by falling fidelity."""
    known = [row for row in rows if row.fidelity is not None and row.speedup is not None]
    front: list[StudyRow] = []
    for row in sorted(known, key=lambda r: (-(r.fidelity or 0), -(r.speedup or 0))):
        if not front or (row.speedup or 0) > (front[-1].speedup or 0):
            front.append(row)
    return front


def _speedup_traces(
    found: Sequence[StudyRow], block: str, look: dict[str, Any]
) -> list[dict[str, Any]]:
    predicted = [row for row in found if row.predicted_speedup is not None]
    measured = [row for row in found if row.measured_speedup is not None]
    traces: list[dict[str, Any]] = []
    if predicted:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": block,
                "legendgroup": block,
                "x": [sparsity_axis(row.sparsity) for row in predicted],
                "y": [row.predicted_speedup for row in predicted],
                "customdata": [[percent(row.sparsity), row.predicted_ms] for row in predicted],
                "line": {"color": look["color"], "width": 2},
                "hovertemplate": f"{block}, %{{customdata[0]}} zero blocks<br>predicted "
                "%{y:.2f}×, %{customdata[1]:.4g} ms<extra></extra>",
            }
        )
    if measured:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers" if predicted else "lines+markers",
                "name": block,
                "legendgroup": block,
                "showlegend": not predicted,
                "x": [sparsity_axis(row.sparsity) for row in measured],
                "y": [row.measured_speedup for row in measured],
                "customdata": [[percent(row.sparsity), row.measured_ms] for row in measured],
                "marker": {**look, "size": 10},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [_distance(row.speedup_p90, row) for row in measured],
                    "arrayminus": [-_distance(row.speedup_p10, row) for row in measured],
                    "color": look["color"],
                    "thickness": 1.5,
                },
                "hovertemplate": f"{block}, %{{customdata[0]}} zero blocks<br>measured "
                "%{y:.2f}×, %{customdata[1]:.4g} ms<extra></extra>",
            }
        )
    return traces


def _legend_of_marks(used: Sequence[StudyRow]) -> list[dict[str, Any]]:
    """Return traces without points that tell in the legend what lines and symbols are."""
    marks: list[dict[str, Any]] = []
    nothing = {"type": "scatter", "x": [None], "y": [None], "hoverinfo": "skip"}
    if any(row.predicted_speedup is not None for row in used):
        line = {"color": NEUTRAL, "width": 2}
        marks.append({**nothing, "mode": "lines", "name": "predicted", "line": line})
    if any(row.measured_speedup is not None for row in used):
        marker = {"color": NEUTRAL, "size": 10, "symbol": "circle"}
        marks.append({**nothing, "mode": "markers", "name": "measured", "marker": marker})
    return marks


def _distance(bound: float | None, row: StudyRow) -> float:
    return 0.0 if bound is None else bound - (row.measured_speedup or 0.0)


def _ideal_trace(limit: float, used: Sequence[StudyRow], name: str) -> dict[str, Any]:
    """Draw what would be if the layers cost no more than their non-zeros."""
    sparsest = max((row.sparsity for row in used), default=0.0)
    axis = [sparsity_axis(sparsest) * step / 60 for step in range(61)]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": axis,
        "y": [ideal_speedup(limit, 1 - 10**-x) for x in axis],
        "line": {"color": NEUTRAL, "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
    }


def _line(x: list[float], y: list[float], name: str, legend: bool, fill: str) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "showlegend": legend,
        "line": {"color": NEUTRAL, "width": 0},
        "hoverinfo": "skip",
    }
    return {**trace, "fill": fill, "fillcolor": "rgba(136, 136, 136, 0.18)"} if fill else trace


def _sparsity_layout(used: Sequence[StudyRow], title: str) -> dict[str, Any]:
    sparsities = sorted({row.sparsity for row in used})
    return {
        "xaxis": {
            "title": {"text": "zero blocks (logarithmic in what is left)"},
            "tickmode": "array",
            "tickvals": [sparsity_axis(sparsity) for sparsity in sparsities],
            "ticktext": [percent(sparsity) for sparsity in sparsities],
            "zeroline": False,
            "range": [-0.06, sparsity_axis(max(sparsities, default=0.9)) + 0.08],
        },
        "yaxis": {"title": {"text": title}},
    }


def _horizontal(y: float, dash: str) -> dict[str, Any]:
    line = {"color": NEUTRAL, "width": 1.5, "dash": dash}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def _note(y: float, text: str, side: str) -> dict[str, Any]:
    return {
        "xref": "paper",
        "x": 0 if side == "left" else 1,
        "xanchor": side,
        "y": y,
        "yanchor": "bottom",
        "text": text,
        "showarrow": False,
    }


def sparsity_axis(sparsity: float) -> float:
    """Return where a sparsity of 0..1 lies: each tenth of what is left is one further."""
    return -math.log10(max(1 - sparsity, _LEAST_DENSITY))


def percent(sparsity: float) -> str:
    """Return a sparsity of 0..1 in percent."""
    return f"{100 * sparsity:.4g} %"
