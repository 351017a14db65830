"""The interactive charts of a study over sparsity, as Plotly figures in JSON form.

Plain dicts: the Plotly that draws them is the one in the page, and nothing is imported here. They
name no background or text colour; the page sets those for light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm_sparse.report.chart_elements import (
    Figure,
    horizontal,
    note,
    percent,
    series_symbol,
    sparsity_axis,
    symbol_of,
)
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


def speedup_chart(
    rows: Sequence[StudyRow], shape: Shape, others: Sequence[tuple[str, str, float]] = ()
) -> Figure:
    """Draw the speed-up over sparsity, a line per block shape, with break-even and limit.

    Lines are predictions, symbols with 80 % ranges are measurements. `others` are alternatives:
    their names, the shapes they were measured at, and their speed-ups over our dense build.
    """
    blocks = blocks_of(rows)
    data: list[dict[str, Any]] = []
    for index, block in enumerate(blocks):
        found = sparse_rows(rows, shape, block)
        look = {"color": series_colour(index), "symbol": series_symbol(index)}
        data += _speedup_traces(found, block, look)
    used = [row for row in rows if row.shape == shape and row.block_shape]
    data += _legend_of_marks(used)
    layout = _sparsity_layout(used, "speed-up over dense (times)")
    shapes = [horizontal(1.0, "solid")]
    notes = [note(1.0, "break-even", "right")]
    limits = {block: limit_of(rows, shape, block) for block in blocks}
    for limit in sorted({value for value in limits.values() if value}, reverse=True):
        # Usually one: blocks differ in it only where some of them do not divide a layer.
        which = [block for block, value in limits.items() if value == limit]
        of = "" if len(which) == len(blocks) else f" of {', '.join(which)}"
        data.append(_ideal_trace(limit, used, f"non-zeros alone{of}"))
        shapes.append(horizontal(limit, "dash"))
        notes.append(note(limit, f"Amdahl's limit{of}: {limit:.2f}×", "left"))
    for name, where, speedup in others:
        if where == str(shape):
            shapes.append(horizontal(speedup, "longdash"))
            notes.append(note(speedup, f"{name}: {speedup:.2f}×", "right"))
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
                "marker": {"symbol": series_symbol(index), "size": 8},
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
        layout["shapes"] = [horizontal(size, "solid")]
        layout["annotations"] = [note(size, f"dense, {size:.4g} MB", "right")]
    return {"data": data, "layout": layout}


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
                "marker": {
                    "color": look["color"],
                    "symbol": [symbol_of(look["symbol"], row) for row in measured],
                    "size": 10,
                },
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [row.speedup_spread[1] for row in measured],
                    "arrayminus": [row.speedup_spread[0] for row in measured],
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
    if any(row.disturbed for row in used):
        marker = {"color": NEUTRAL, "size": 10, "symbol": "circle-open"}
        marks.append({**nothing, "mode": "markers", "name": "disturbed", "marker": marker})
    return marks


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
