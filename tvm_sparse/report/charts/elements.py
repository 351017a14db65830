"""What charts are put together from: pieces of Vega-Lite, as plain dicts.

A chart is a Vega-Lite specification without size and theme, which `render` and the page add
(decision record 0013); one that has nothing to show is empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tvm_sparse.report.charts.palette import INK, NEUTRAL, SERIES, SHAPES, repeat
from tvm_sparse.report.study_rows import StudyRow

#: A Vega-Lite specification, or a piece of one.
Chart = dict[str, Any]

#: Sparsities are drawn on a logarithmic axis of density, which ends here.
_LEAST_DENSITY = 1e-3
UNKNOWN = "–"
HOLLOW = "Hollow: something disturbed it."
#: A click on a name in the legend leaves the other block shapes faint; with shift it adds one.
PICK = {"name": "picked", "select": {"type": "point", "fields": ["blocks"]}, "bind": "legend"}
FADED = {"condition": {"param": "picked", "value": 1}, "value": 0.12}
#: Dragging moves; the wheel zooms with Ctrl, because alone it scrolls the page.
ZOOM = {
    "name": "zoom",
    "select": {"type": "interval", "zoom": "wheel![event.ctrlKey]"},
    "bind": "scales",
}


def layer(rows: Sequence[Mapping[str, Any]], mark: Chart, encoding: Chart, *params: Chart) -> Chart:
    """Return marks of one kind, one for each row or line of rows."""
    found = {"data": {"values": list(rows)}, "mark": mark, "encoding": encoding}
    return {**found, "params": list(params)} if params else found


def symbols(rows: Sequence[Mapping[str, Any]], encoding: Chart, *params: Chart) -> Chart:
    """Return the rows as symbols, hollow where something `disturbed` them."""
    hollow = {"condition": {"test": "datum.disturbed", "value": 0}, "value": 1}
    looks = {**encoding, "stroke": encoding["color"], "fillOpacity": hollow}
    return layer(rows, {"type": "point", "filled": True, "size": 70, "clip": True}, looks, *params)


def datum(row: StudyRow, **more: Any) -> dict[str, Any]:
    """Return a build as charts hold it, with what one of them needs more."""
    named = {"blocks": row.block_shape, "zeros": percent(row.sparsity)}
    return {**named, "density": density(row.sparsity), "disturbed": row.disturbed, **more}


def line_at(y: Chart, value: float, text: str, dash: Sequence[int], side: str) -> list[Chart]:
    """Return a line across the chart at a height, with a text at its `left` or `right` end."""
    mark = {"type": "rule", "color": NEUTRAL, "strokeWidth": 1.5, "strokeDash": list(dash)}
    at = {**y, "datum": value, "axis": {"grid": True}}
    return [layer([{}], mark, {"y": at}), note_at(at, text, side)]


def note_at(y: Chart, text: str, side: str, baseline: str = "bottom") -> Chart:
    """Return a text at a height, at the `left` or `right` end of the chart."""
    mark: Chart = {"type": "text", "align": side, "baseline": baseline, "color": INK, "text": text}
    mark |= {"dx": 3 if side == "left" else -3, "dy": -3 if baseline == "bottom" else 3}
    mark["limit"] = {"expr": "width - 6"}  # a longer one would squeeze the chart on a phone
    return layer([{}], mark, {"x": {"value": 0 if side == "left" else "width"}, "y": y})


def axis(title: str, **scale: Any) -> Chart:
    """Return an axis of numbers; give it a `field` or a `datum`."""
    return {"type": "quantitative", "title": title, "scale": {"nice": not scale, **scale}}


def sparsity_axis(rows: Sequence[StudyRow]) -> Chart:
    """Return the axis on which a tenth of the blocks that are left is one further."""
    share = f"(datum.value > {_LEAST_DENSITY} ? 1 - datum.value : 1)"
    ticks = {
        "values": sorted({density(row.sparsity) for row in rows}, reverse=True),
        "labelExpr": f"format(100 * {share}, '.4~r') + ' %'",
        "labelOverlap": "greedy",
    }
    logarithmic = axis(
        "zero blocks (logarithmic in what is left)", type="log", reverse=True, padding=14
    )
    return {**logarithmic, "field": "density", "axis": ticks}


def by_block(
    blocks: Sequence[str], values: Sequence[object], among: Sequence[str] | None = None
) -> Chart:
    """Return an encoding that gives each block shape a value of its own, shown in a legend.

    Charts that draw some of a study's blocks give them the values they have `among` all.
    """
    of = dict(zip(among or blocks, repeat(values, len(among or blocks)), strict=True))
    scale = {"domain": list(blocks), "range": [of[block] for block in blocks]}
    return {"field": "blocks", "type": "nominal", "title": None, "scale": scale}


def block_symbols(blocks: Sequence[str], among: Sequence[str] | None = None) -> Chart:
    """Return the encodings of symbols by block shape: colour and form."""
    looks = {"color": SERIES, "shape": SHAPES}
    return {channel: by_block(blocks, values, among) for channel, values in looks.items()}


def tooltip(**fields: str) -> list[Chart]:
    """Return what a tooltip tells: texts of the rows, by field, with their titles."""
    return [{"field": field, "type": "nominal", "title": title} for field, title in fields.items()]


def density(sparsity: float) -> float:
    """Return which share of the blocks is left, as the axis shows it."""
    return round(max(1 - sparsity, _LEAST_DENSITY), 6)


def percent(sparsity: float) -> str:
    """Return a sparsity of 0..1 in percent."""
    return f"{100 * sparsity:.4g} %"
