"""The speed-up over sparsity: from where on pruning pays, and what it can pay at most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tvm_sparse.report.charts import palette
from tvm_sparse.report.charts.elements import (
    FADED,
    HOLLOW,
    PICK,
    UNKNOWN,
    ZOOM,
    Chart,
    axis,
    block_symbols,
    by_block,
    datum,
    density,
    layer,
    line_at,
    note_at,
    sparsity_axis,
    symbols,
    tooltip,
)
from tvm_sparse.report.study_rows import (
    Shape,
    StudyRow,
    blocks_of,
    ideal_speedup,
    limit_of,
    sparse_rows,
)

#: A limit this many times above what is drawn is told in words, and does not stretch the axis.
_FAR = 1.6
_STEPS = 60


def speedup_chart(
    rows: Sequence[StudyRow], shape: Shape, others: Sequence[tuple[str, Shape, float]] = ()
) -> Chart:
    """Draw the speed-up over sparsity, a line per block shape, with break-even and limit.

    Lines are predictions, bent to go through undisturbed measurements; those that cannot be relied
    on are not drawn. Symbols with 80 % ranges are measurements, hollow where something disturbed
    them.

    Parameters
    ----------
    rows : sequence of StudyRow
        The study's builds.
    shape : Shape
        Where.
    others : sequence of (str, Shape, float)
        Alternatives: their names, where they were measured, and their speed-ups over our dense
        build.
    """
    blocks = blocks_of(rows)
    used = [row for block in blocks for row in sparse_rows(rows, shape, block)]
    if not used:
        return {}
    found = [_datum(row) for row in used]
    predicted = [row for row in found if row["expected"]]
    measured = [row for row in found if row["measured"]]
    if not (predicted or measured):
        return {}
    here = {name: speedup for name, where, speedup in others if where == shape}
    limits = _limits(rows, shape, blocks)
    top = _top(found, here.values(), limits)
    x, y = sparsity_axis(used), axis("speed-up over dense (times)", domain=[0, top])
    curve, look = {"x": x, "y": {**y, "field": "expected"}}, block_symbols(blocks)
    tips = tooltip(
        blocks="blocks", zeros="zero blocks", expected_text="predicted", measured_text="measured"
    )
    # In the legend dashes are for lines; around a symbol they would fray it.
    legend = {"symbolStrokeWidth": 0} if measured else {"symbolSize": 500}
    dashes = by_block(blocks, palette.DASHES) | {"legend": legend}
    line = {**curve, "color": look["color"], "strokeDash": dashes, "opacity": FADED}
    layers = [
        *line_at(y, 1.0, "break-even", palette.SOLID, "right"),
        layer(predicted, {"type": "line", "clip": True}, line, PICK, ZOOM),
        # A line tells nothing of its points: invisible ones on it do.
        layer(
            predicted,
            {"type": "point", "size": 300, "opacity": 0, "filled": True, "clip": True},
            {**curve, "tooltip": tips},
        ),
    ]
    if measured:
        at = {"x": x, "opacity": FADED}
        spread = {"y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": look["color"]}
        layers.append(layer(measured, {"type": "rule", "clip": True}, {**at, **spread}))
        marks = {**at, "y": {**y, "field": "measured"}, **look, "tooltip": tips}
        layers.append(symbols(measured, marks))
    doubted = list(dict.fromkeys(row.block_shape for row in used if row.doubted))
    far = []
    for limit, text in limits.items():
        dotted = {"type": "line", "color": palette.NEUTRAL, "clip": True}
        layers.append(layer(_ideal(limit, used), {**dotted, "strokeDash": palette.DOTTED}, curve))
        if limit <= top:
            layers += line_at(y, limit, text, palette.DASHED, "left")
        else:
            far.append(f"{text}, far above")
    if far:
        layers.append(note_at({**y, "datum": top}, "; ".join(far), "right", "top"))
    for name, speedup in here.items():
        layers += line_at(y, speedup, f"{name}: {speedup:.2f}×", palette.LONG_DASHED, "right")
    described = (
        "Lines: predicted, through what was measured." if predicted else "",
        f"Not drawn: predictions of {', '.join(doubted)}, which cannot be relied on."
        if doubted
        else "",
        "Symbols: measured; whiskers: 80 % of the rounds." if measured else "",
        HOLLOW if any(row.disturbed for row in used) else "",
        "Dotted: if non-zeros were all that costs." if limits else "",
    )
    return {"description": " ".join(filter(None, described)), "layer": layers}


def _limits(rows: Sequence[StudyRow], shape: Shape, blocks: Sequence[str]) -> dict[float, str]:
    """Return Amdahl's limits with their names, the highest first.

    Usually one: blocks differ in it only where some of them do not divide a layer.
    """
    limits = {block: limit_of(rows, shape, block) for block in blocks}
    found = {}
    for limit in sorted({value for value in limits.values() if value}, reverse=True):
        which = [block for block, value in limits.items() if value == limit]
        of = "" if len(which) == len(blocks) else f" of {', '.join(which)}"
        found[limit] = f"Amdahl's limit{of}: {limit:.2f}×"
    return found


def _top(
    found: Sequence[Mapping[str, Any]], others: Iterable[float], limits: Iterable[float]
) -> float:
    """Return where the axis ends: above all curves, and above the limits that are near."""
    names = ("expected", "measured", "high")
    heights = [row[n] or 0.0 for row in found for n in names if n != "high" or not row["disturbed"]]
    highest = max([1.0, *others, *heights])
    return 1.1 * max([highest, *(limit for limit in limits if limit <= _FAR * highest)])


def _datum(row: StudyRow) -> dict[str, Any]:
    measured, (below, above) = row.measured_speedup, row.speedup_spread
    expected = None if row.doubted else row.expected_speedup
    expected_ms = (row.predicted_ms or 0) * (row.predicted_speedup or 0) / (expected or 1)
    return datum(
        row,
        expected=expected,
        expected_text=_told(expected, expected_ms),
        measured=measured,
        measured_text=_told(measured, row.measured_ms) + ", disturbed" * row.disturbed,
        low=None if measured is None else measured - below,
        high=None if measured is None else measured + above,
    )


def _told(speedup: float | None, latency_ms: float | None) -> str:
    if speedup is None or latency_ms is None:
        return UNKNOWN
    return f"{speedup:.2f}×, {latency_ms:.4g} ms"


def _ideal(limit: float, used: Sequence[StudyRow]) -> list[dict[str, Any]]:
    """Return what would be if the layers cost no more than their non-zeros."""
    least = min(density(row.sparsity) for row in used)
    densities = [least ** (step / _STEPS) for step in range(_STEPS + 1)]
    return [{"density": left, "expected": ideal_speedup(limit, 1 - left)} for left in densities]
