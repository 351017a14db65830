from __future__ import annotations

import sys
import zlib
from dataclasses import replace

import pytest
from peers_record import peers_record

from tvm_sparse.errors import BuildError, DependencyError
from tvm_sparse.report.charts.memory import memory_chart
from tvm_sparse.report.charts.pareto import pareto_chart
from tvm_sparse.report.charts.parts import parts_chart
from tvm_sparse.report.charts.peers import peers_chart
from tvm_sparse.report.charts.prediction import prediction_chart
from tvm_sparse.report.charts.render import check_renderer, load_library, save_chart, theme
from tvm_sparse.report.charts.shapes import shapes_chart
from tvm_sparse.report.charts.speedup import speedup_chart

pytestmark = pytest.mark.unit


@pytest.fixture(
    scope="module",
    params=["speedup", "parts", "memory", "shapes", "prediction", "pareto", "peers"],
)
def chart(request, rows, shape):
    faithful = [replace(row, fidelity=1 - row.sparsity / 9) for row in rows]
    draw = {
        "speedup": lambda: speedup_chart(rows, shape, [("INT8", shape, 1.6)]),
        "parts": lambda: parts_chart(rows, shape, "4x1"),
        "memory": lambda: memory_chart(rows, shape),
        "shapes": lambda: shapes_chart([*rows, *(replace(row, seq_len=16) for row in rows)]),
        "prediction": lambda: prediction_chart(rows),
        "pareto": lambda: pareto_chart(faithful, shape),
        "peers": lambda: peers_chart(peers_record()),
    }
    return draw[request.param]()


def test_charts_are_valid_vega_lite(chart) -> None:
    """What the schema does not know, Vega-Lite would leave out without a word."""
    from altair import Chart

    config = theme("sans-serif")
    del config["legend"]["layout"]  # handed on to Vega; the schema does not know its content
    Chart.from_dict({**chart, "config": config}, validate=True)


def test_a_picture_of_every_chart(chart, tmp_path, capfd) -> None:
    save_chart(chart, tmp_path / "new" / "chart.png", "a title")
    png = (tmp_path / "new" / "chart.png").read_bytes()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    start, pixels = 8, b""
    while start < len(png):
        end = start + 8 + int.from_bytes(png[start : start + 4], "big")
        assert zlib.crc32(png[start + 4 : end]) == int.from_bytes(png[end : end + 4], "big")
        pixels += png[start + 8 : end] if png[start + 4 : start + 8] == b"IDAT" else b""
        start = end + 4
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    assert len(zlib.decompress(pixels)) == height * (1 + 4 * width)
    assert "".join(capfd.readouterr()) == "", "the renderer warned"


def test_svg_by_the_name_of_the_file(rows, shape, tmp_path) -> None:
    save_chart(memory_chart(rows, shape), tmp_path / "chart.SVG", "some <title>")
    text = (tmp_path / "chart.SVG").read_text()
    assert text.startswith("<svg")
    assert "some &lt;title&gt;" in text


def test_the_library_can_stand_in_a_page() -> None:
    library = load_library()
    assert "window.vegaEmbed" in library
    assert "</script" not in library


def test_a_missing_package_is_one_clear_line(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(DependencyError, match=r"vl-convert.* pip install 'tvm_sparse\[report\]'"):
        check_renderer()


def test_a_place_that_cannot_be_written(rows, shape, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BuildError, match="cannot be written"):
        save_chart(memory_chart(rows, shape), tmp_path / "file" / "chart.svg", "")
