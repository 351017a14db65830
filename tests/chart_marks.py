"""What a chart draws, read from its Vega-Lite specification."""

from __future__ import annotations

from typing import Any


def layers_of(chart: dict[str, Any], mark: str, **encoded: str) -> list[dict[str, Any]]:
    """Return the layers with a mark whose channels are of these fields."""
    return [
        layer
        for layer in chart["layer"]
        if layer["mark"]["type"] == mark
        and all(layer["encoding"].get(c, {}).get("field") == f for c, f in encoded.items())
    ]


def rows_of(layer: dict[str, Any], **wanted: object) -> list[dict[str, Any]]:
    """Return the rows of a layer that hold these values."""
    rows = layer["data"]["values"]
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def lines_at(chart: dict[str, Any]) -> list[float]:
    """Return the heights of the lines across a chart."""
    return [
        layer["encoding"]["y"]["datum"]
        for layer in layers_of(chart, "rule")
        if "datum" in layer["encoding"]["y"]
    ]


def notes_of(chart: dict[str, Any]) -> list[str]:
    """Return the texts that are written into a chart."""
    return [layer["mark"]["text"] for layer in layers_of(chart, "text") if "text" in layer["mark"]]
