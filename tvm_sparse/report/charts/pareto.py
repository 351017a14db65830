"""Speed-up over fidelity: which builds no other one beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm_sparse.report.charts.elements import (
    FADED,
    PICK,
    ZOOM,
    Chart,
    axis,
    by_block,
    datum,
    layer,
    line_at,
    symbols,
    tooltip,
)
from tvm_sparse.report.charts.palette import DOTTED, INK, NEUTRAL, SERIES, SHAPES, SOLID, repeat
from tvm_sparse.report.study_rows import Shape, StudyRow, blocks_of

#: Width and height of a label as shares of the chart's.
_LABEL = (0.08, 0.05)


def pareto_chart(rows: Sequence[StudyRow], shape: Shape) -> Chart:
    """Draw speed-up over fidelity, by block shape and method, and the front of the best.

    The front's points carry their sparsities; predictions that cannot be relied on are left out.
    """
    known = [
        row
        for row in rows
        if row.shape == shape
        and row.fidelity is not None
        and row.speedup
        and (row.measured_ms or not row.doubted)
    ]
    if not known:
        return {}
    methods = sorted({_method(row) for row in known})
    low, high = (bound(row.fidelity or 0 for row in known) for bound in (min, max))
    span = (high - low) or 1.0
    domain = [low - _LABEL[0] * span, high + _LABEL[0] * span]
    x, y = (
        axis("fidelity to the dense model (1 = equal)", domain=domain),
        axis("speed-up over dense (times)"),
    )
    at = {"x": {**x, "field": "fidelity"}, "y": {**y, "field": "speedup"}}
    forms = {"domain": methods, "range": repeat(SHAPES, len(methods))}
    marks = {
        **at,
        "color": by_block(blocks_of(known), SERIES, blocks_of(rows)),
        "shape": {"field": "method", "type": "nominal", "title": None, "scale": forms},
        "opacity": FADED,
        "tooltip": tooltip(
            blocks="blocks", method="method", zeros="zero blocks", text="speed-up and fidelity"
        ),
    }
    front = [_datum(row) for row in pareto_front(known)]
    dotted = {"type": "line", "color": NEUTRAL, "strokeDash": DOTTED, "clip": True}
    label = {"type": "text", "baseline": "bottom", "dy": -6, "color": INK, "clip": True}
    layers = [
        *line_at(y, 1.0, "break-even", SOLID, "left"),
        layer(front, dotted, at),
        symbols([_datum(row) for row in known], marks, PICK, ZOOM),
        layer(_apart(front, span), label, {**at, "text": {"field": "zeros"}}),
    ]
    described = "Dotted: the builds that no other one beats, with their zero blocks."
    return {"description": described, "layer": layers}


def pareto_front(rows: Sequence[StudyRow]) -> list[StudyRow]:
    """Return the rows that no other one beats in fidelity and speed-up, by falling fidelity."""
    known = [row for row in rows if row.fidelity is not None and row.speedup is not None]
    front: list[StudyRow] = []
    for row in sorted(known, key=lambda r: (-(r.fidelity or 0), -(r.speedup or 0))):
        if not front or (row.speedup or 0) > (front[-1].speedup or 0):
            front.append(row)
    return front


def _apart(front: Sequence[dict[str, Any]], span: float) -> list[dict[str, Any]]:
    """Return the points whose labels do not lie on each other."""
    found: list[dict[str, Any]] = []
    tallest = max(point["speedup"] for point in front)
    for point in front:
        if all(
            abs(point["fidelity"] - other["fidelity"]) > _LABEL[0] * span
            or abs(point["speedup"] - other["speedup"]) > _LABEL[1] * tallest
            for other in found
        ):
            found.append(point)
    return found


def _method(row: StudyRow) -> str:
    return row.method or "not pruned"


def _datum(row: StudyRow) -> dict[str, Any]:
    text = f"{row.speedup:.2f}×, {row.fidelity:.4f}"
    return datum(row, method=_method(row), fidelity=row.fidelity, speedup=row.speedup, text=text)
