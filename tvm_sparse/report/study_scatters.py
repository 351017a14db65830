"""The scatter charts of a study: predicted and measured latency, fidelity and speed-up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm_sparse.report.chart_elements import (
    SYMBOLS,
    Figure,
    horizontal,
    note,
    percent,
    series_symbol,
    symbol_of,
)
from tvm_sparse.report.palette import NEUTRAL, series_colour
from tvm_sparse.report.study_rows import Shape, StudyRow, blocks_of

#: Predictions are meant to be within this share of a measurement.
TOLERANCE = 0.15


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
                    "symbol": [
                        symbol_of(series_symbol(index - 1) if block else "x", row) for row in found
                    ],
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
        for symbol, method in zip(SYMBOLS * len(methods), methods, strict=False):
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
        "shapes": [horizontal(1.0, "solid")],
        "annotations": [note(1.0, "break-even", "left")],
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
