"""Renders charts: to PNG and SVG files, and what a page needs to draw them itself."""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path
from textwrap import wrap
from types import ModuleType
from typing import Any

from tvm_sparse.errors import BuildError, DependencyError
from tvm_sparse.report.charts.elements import Chart
from tvm_sparse.report.charts.palette import INK

_VEGA_LITE = "https://vega.github.io/schema/vega-lite/v6.json"
_SIZE = {"width": 620, "height": 360}
#: Pixels of a PNG by those of a chart.
_SCALE = 2.0


def theme(font: str) -> dict[str, Any]:
    """Return the look of all charts: a Vega-Lite configuration.

    Text has the colour of what is around it, so that a page turns dark without drawing again.
    """
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12}
    axis = {**text, "titleFontWeight": "normal", "domainColor": INK, "tickColor": INK}
    return {
        "font": font,
        "background": "transparent",
        "view": {"stroke": None},
        "axis": {**axis, "gridColor": INK, "gridOpacity": 0.14, "domainOpacity": 0.5},
        "axisX": {"grid": False, "labelOverlap": "greedy", "labelSeparation": 6},
        "axisY": {"minExtent": 30},
        "legend": {
            **text,
            "orient": "top",
            "symbolSize": 90,
            "columns": {"expr": "max(4, floor(width / 90))"},
            "layout": {"top": {"direction": "vertical", "anchor": "start"}},
        },
        "title": {"color": INK, "subtitleColor": INK, "anchor": "start", "frame": "group"},
        "text": {"fontSize": 11},
    }


def check_renderer() -> None:
    """Find out before any work whether charts can be drawn.

    Raises
    ------
    DependencyError
        If vl-convert-python is not installed.
    """
    _load()


@cache
def load_library() -> str:
    """Return the JavaScript by which a page draws charts: Vega, Vega-Lite and Vega-Embed.

    Raises
    ------
    DependencyError
        If vl-convert-python is not installed.
    """
    return str(_load().javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def save_chart(chart: Chart, path: Path, title: str) -> None:
    """Write a chart as SVG if the file's name ends so, as PNG otherwise.

    Parameters
    ----------
    chart : Chart
        What to draw; its description becomes the subtitle.
    path : Path
        In a directory that is made if it does not exist.
    title : str
        Above the chart.

    Raises
    ------
    DependencyError
        If vl-convert-python is not installed.
    BuildError
        If the file cannot be written.
    """
    renderer = _load()
    heading = {"text": title, "subtitle": wrap(chart.get("description", ""), 100)}
    size = {} if "vconcat" in chart else _SIZE
    config = {**theme("sans-serif"), "background": "white"}
    whole = {"$schema": _VEGA_LITE, **size, **chart, "title": heading, "config": config}
    if path.suffix.lower() == ".svg":
        content = renderer.vegalite_to_svg(whole).encode()
    else:
        content = _packed(renderer.vegalite_to_png(whole, scale=_SCALE))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise BuildError(f"{path} cannot be written: {error.strerror or error}") from None


def _packed(png: bytes) -> bytes:
    """Return the same picture in a third of the bytes: vl-convert compresses for speed."""
    chunks, start = [], 8
    while start < len(png):
        end = start + 8 + int.from_bytes(png[start : start + 4], "big")
        chunks.append((png[start + 4 : start + 8], png[start + 8 : end]))
        start = end + 4
    pixels = b"".join(data for kind, data in chunks if kind == b"IDAT")
    repacked = {**dict(chunks), b"IDAT": zlib.compress(zlib.decompress(pixels))}
    return png[:8] + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in repacked.items()
    )


def _load() -> ModuleType:
    try:
        import vl_convert
    except ImportError as error:
        raise DependencyError(
            f"vl-convert-python cannot be imported ({error}): pip install 'tvm_sparse[report]'"
        ) from None
    return vl_convert
