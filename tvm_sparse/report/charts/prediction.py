"""Predicted over measured latency of the builds that have both."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_sparse.report.charts.elements import (
    FADED,
    HOLLOW,
    PICK,
    ZOOM,
    Chart,
    axis,
    block_symbols,
    datum,
    layer,
    symbols,
    tooltip,
)
from tvm_sparse.report.charts.palette import NEUTRAL
from tvm_sparse.report.study_rows import StudyRow, blocks_of
from tvm_sparse.whatif.doubts import TOLERANCE

#: A logarithmic axis is read with less ease: only where the values span more than this.
_WIDE_SPAN = 8


def prediction_chart(rows: Sequence[StudyRow]) -> Chart:
    """Draw predicted over measured latency of every measured build, with the tolerance around."""
    both = [row for row in rows if row.adjusted_ms and row.measured_ms]
    if not both:
        return {}
    found = [
        datum(
            row,
            where=str(row.shape),
            measured=row.measured_ms,
            measured_text=f"{row.measured_ms:.4g} ms" + ", disturbed" * row.disturbed,
            predicted=row.adjusted_ms,
            predicted_text=f"{row.adjusted_ms:.4g} ms ({row.prediction_error or 0:+.1%})",
        )
        for row in both
    ]
    values = [row[name] for row in found for name in ("measured", "predicted")]
    low, high = 0.85 * min(values), 1.15 * max(values)
    scale = {"type": "log" if high / low > _WIDE_SPAN else "linear", "domain": [low, high]}
    x, y = axis("measured latency (ms)", **scale), axis("predicted latency (ms)", **scale)
    marks = {
        "x": {**x, "field": "measured"},
        "y": {**y, "field": "predicted"},
        **block_symbols(blocks_of(both), blocks_of(rows)),
        "opacity": FADED,
        "tooltip": tooltip(
            blocks="blocks",
            zeros="zero blocks",
            where="at",
            measured_text="measured",
            predicted_text="predicted",
        ),
    }
    ends = [
        {"equal": end, "low": end * (1 - TOLERANCE), "high": end * (1 + TOLERANCE)}
        for end in (low, high)
    ]
    along = {"x": {**x, "field": "equal"}}
    band = {**along, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
    grey = {"color": NEUTRAL, "clip": True}
    layers = [
        layer(ends, {"type": "area", "opacity": 0.18, **grey}, band),
        layer(ends, {"type": "line", **grey}, {**along, "y": {**y, "field": "equal"}}),
        symbols(found, marks, PICK, ZOOM),
    ]
    described = f"Line: equal. Grey: within {100 * TOLERANCE:.0f} %."
    hollow = f" {HOLLOW}" if any(row.disturbed for row in both) else ""
    return {"description": described + hollow, "layer": layers}
