from __future__ import annotations

import csv
import io
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from chart_marks import layers_of, notes_of, rows_of
from example_study import HEAD, LAYER, SPARSITIES, example_study

from tvm_sparse.errors import BuildError, DependencyError
from tvm_sparse.report import html
from tvm_sparse.report.charts.render import load_library
from tvm_sparse.report.study_view import view_of
from tvm_sparse.sizes import block_name
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.economy import Pricing
from tvm_sparse.whatif.point_results import Doubt
from tvm_sparse.whatif.study import Answer, FidelityPoint, Study, StudyFidelity
from tvm_sparse.whatif.verdict import verdict_of

pytestmark = pytest.mark.unit

LIBRARY = "/* the library */"
ONE = (Setting(128, 1, 2, 1),)
#: Elements and attributes by which a page loads something.
LOADERS = {"link", "img", "iframe", "object", "embed", "source", "video", "audio", "base", "form"}


class Page(HTMLParser):
    """Collects elements, the cells of tables, and the text of the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "link", "img", "input"}:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"<{tag}> is not nested well"

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data
        elif "style" not in self._open:
            self.text += data

    def charts(self, name: str) -> dict:
        """Return the charts with a name, by the choice at which they are shown."""
        charts = json.loads(self.scripts[0])["charts"]
        return {(c["shape"], c["block"]): c["chart"] for c in charts if c["name"] == name}


def page(study=None) -> Page:
    return Page(html.render_page(view_of(study or example_study()), LIBRARY))


def test_the_page_loads_nothing() -> None:
    text = html.render_page(view_of(example_study()), LIBRARY)
    found = Page(text)
    tags = {tag for tag, _ in found.elements}
    assert not tags & LOADERS
    for tag, attributes in found.elements:
        assert not {"src", "href", "srcset", "background", "action"} & attributes.keys(), tag
    # Without the library, which is not ours, no address of any kind is left.
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|fetch\(|XMLHttp|import\(", text)


def test_a_policy_forbids_loading() -> None:
    policies = [
        attributes["content"]
        for tag, attributes in page().elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [html._POLICY]
    assert "default-src 'none'" in html._POLICY
    assert "http" not in html._POLICY


def fidelity_of(study: Study, method: str) -> StudyFidelity:
    found = tuple(
        FidelityPoint(method, block_name(p.point.block_shape), p.point.sparsity, 0.5)
        for p in study.points
    )
    return StudyFidelity("cosine", "cosine", found)


def test_names_cannot_break_out_of_the_page() -> None:
    evil = "</script><script>alert(1)</script>"
    study = example_study(command=evil)
    setting = study.settings[0]
    call = replace(setting.layers[0], layer=evil)
    study = replace(
        study,
        model=replace(study.model, name=evil),
        answers=(Answer("x", evil),),
        settings=(replace(setting, layers=(call,)), *study.settings[1:]),
        fidelity=fidelity_of(study, evil),
    )
    found = page(study)
    assert len(found.scripts) == 3
    assert not any("alert" in script for script in found.scripts[1:])
    assert evil in json.dumps(list(found.charts("pareto").values()))


def test_the_numbers_of_the_tables_are_those_of_the_record() -> None:
    study = example_study(ONE)
    found = page(study)
    start = next(index for index, row in enumerate(found.rows) if "predicted (ms)" in row)
    header, *rows = found.rows[start : start + 2 + len(study.points)]
    body = [dict(zip(header, row, strict=True)) for row in rows]
    dense, points = body[0], body[1:]
    assert (dense["build"], dense["measured (ms)"], dense["weights (MB)"]) == (
        "dense",
        "100",
        "440",
    )
    for row, point in zip(points, study.points, strict=True):
        assert row["build"] == block_name(point.point.block_shape)
        assert row["sparsity"] == f"{100 * point.point.sparsity:.4g} %"
        assert row["predicted (ms)"] == f"{point.predicted.latency_ms:.4g}"
        assert row["predicted (×)"] == f"{point.predicted_speedup:.2f}"
        measured = point.measured
        if measured is None:
            assert row["measured (ms)"] == row["measured (×)"] == row["error"] == "–"
            parts = point.predicted.parts_ms
        else:
            star = " *" if measured.disturbed else ""
            assert row["measured (ms)"] == f"{measured.latency_ms:.4g}{star}"
            assert row["measured (×)"] == f"{measured.speedup:.2f}"
            assert row["error"] == f"{100 * point.error:+.1f} %"
            parts = measured.parts_ms
        for part, value in parts.items():
            assert row[f"{part} (ms)"] == f"{value:.4g}"


def test_layers() -> None:
    study = example_study(ONE)
    rows = {row[0]: row for row in page(study).rows if row[0] in (LAYER, HEAD)}
    at_95 = [
        f"{point.predicted.products_ms['packed_dense_3072x768_bias_gelu']:.4g}"
        for point in study.points
        if point.point.sparsity == 0.95
    ]
    assert rows[LAYER] == [
        LAYER,
        "packed_dense_3072x768_bias_gelu",
        "8.125",
        "8.1%",
        *at_95,
        "–",
    ]
    assert rows[HEAD][-1] == "head (pooler): always dense"
    assert rows[HEAD][4:-1] == ["–"] * 4


def test_what_the_study_says_is_on_the_page() -> None:
    found = page()
    study = example_study()
    for sentence in [answer.text for answer in study.answers] + list(study.refused):
        assert sentence in found.text
    assert study.command in found.text
    assert ["CPU", "Example CPU"] in found.rows
    int8 = ["ONNX Runtime INT8", "128", "1", "2", "measured", "version 1"]
    assert [*int8, "61.25", "98", "1.6", "0.25", "no"] in found.rows


def test_what_must_not_be_missed_is_set_apart() -> None:
    text = html.render_page(view_of(example_study()), LIBRARY)
    assert text.count("A random fill says nothing about accuracy.") == 1
    assert '<p class="warning">A random fill says nothing about accuracy.</p>' in text


def test_alternatives_are_drawn_at_their_shape() -> None:
    charts = {shape: chart for (shape, _), chart in page().charts("speedup").items()}
    int8 = "ONNX Runtime INT8: 1.60×"
    assert int8 in notes_of(charts["batch 1, 128 tokens, 2 threads"])
    assert int8 not in notes_of(charts["batch 1, 128 tokens, 1 thread"])


def test_fidelity() -> None:
    study = example_study(ONE)
    found = page(replace(study, fidelity=fidelity_of(study, "magnitude")))
    assert [row for row in found.rows if "predicted (ms)" in row and "fidelity" in row]
    assert found.charts("pareto")


def test_what_cannot_be_relied_on_comes_first_then_the_verdict() -> None:
    doubt = Doubt(ONE[0], "1x1", "it is odd")
    study = example_study(ONE)
    answers = (Answer("reliability", "Not all of this can be relied on."), *study.answers)
    study = replace(study, doubts=(doubt,), answers=answers, fidelity=fidelity_of(study, "wanda"))
    text = html.render_page(view_of(study), LIBRARY)
    box = '<p class="warning">Not all of this can be relied on.</p>'
    assert text.count("Not all of this can be relied on.") == 1
    assert text.index(box) < text.index(verdict_of(study).text) < text.index("<h2>Charts")
    found = Page(text)
    marked = [row for row in found.rows if row[0] == "1x1 wanda"]
    assert marked
    assert all(row[2].endswith(" ?") for row in marked)
    (front,) = found.charts("pareto").values()
    (points,) = layers_of(front, "point", x="fidelity")
    assert {row["zeros"] for row in rows_of(points, blocks="1x1")} == {"80 %", "95 %"}


def test_builds_are_listed_with_what_they_cost() -> None:
    header = ["build", "latency (ms)", "items/s per core", "core hours per million"]
    found = page(example_study(ONE))
    assert [*header, "cost per million", "cost per year", "cores busy"] in found.rows
    assert ["our dense build", "100", "5", "55.6", "2.78", "1,014", "2.31"] in found.rows
    free = page(replace(example_study(ONE), pricing=Pricing()))
    assert header in free.rows


def test_a_choice_for_every_shape_and_block() -> None:
    found = page()
    options = [attributes["value"] for tag, attributes in found.elements if tag == "option"]
    shapes = ["batch 1, 128 tokens, 1 thread", "batch 1, 128 tokens, 2 threads"]
    assert options == [*shapes, "1x1", "4x1", "16x1", "32x1"]
    assert list(found.charts("speedup")) == [(shape, "") for shape in shapes]
    assert list(found.charts("parts")) == [(s, b) for s in shapes for b in options[2:]]
    # Rows that the page hides and shows by the choice of a shape.
    filtered = {a["data-shape"] for tag, a in found.elements if tag == "tr" and "data-shape" in a}
    assert filtered == set(shapes)


def test_a_study_without_measurements() -> None:
    found = page(example_study(ONE, measured=()))
    assert "prediction" not in [attributes.get("data-chart") for _, attributes in found.elements]
    assert "0 of them measured" in found.text


def test_written_files(tmp_path) -> None:
    written = html.write_report(example_study(ONE), tmp_path / "new" / "report")
    assert {path.name for path in written} == {
        "report.html",
        "points.csv",
        "layers.csv",
        "speedup.png",
        "parts.png",
        "memory.png",
        "prediction.png",
    }
    assert all(path.stat().st_size for path in written)
    text = written[0].read_text(encoding="utf-8")
    assert load_library() in text


def test_points_csv(tmp_path) -> None:
    study = example_study(ONE)
    rows = list(csv.DictReader(io.StringIO(html.rows_csv(view_of(study).rows))))
    assert len(rows) == 1 + 4 * len(SPARSITIES)
    for row, result in zip(rows[1:], study.points, strict=True):
        assert float(row["predicted_ms"]) == result.predicted.latency_ms
        assert float(row["amdahl_limit"]) == pytest.approx(100 / 30)
        if result.measured is None:
            assert row["measured_ms"] == ""
        else:
            assert float(row["measured_ms"]) == result.measured.latency_ms


def test_without_the_extra_nothing_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    load_library.cache_clear()
    with pytest.raises(DependencyError):
        html.write_report(example_study(ONE), tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_directory_that_cannot_be_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(html, "load_library", lambda: LIBRARY)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BuildError, match="cannot be written"):
        html.write_report(example_study(ONE), tmp_path / "file")
