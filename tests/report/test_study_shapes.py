"""A study of one build at several shapes: its table, its chart, and what the page says."""

from __future__ import annotations

import pytest
from chart_marks import layers_of, rows_of
from example_study import example_study

from tvm_sparse.report.charts.shapes import shapes_chart
from tvm_sparse.report.html import render_page
from tvm_sparse.report.markdown import render_markdown
from tvm_sparse.report.study_shapes import shape_cells
from tvm_sparse.report.study_view import view_of
from tvm_sparse.tuning.setting import Setting

pytestmark = pytest.mark.unit

OPEN = tuple(
    Setting.open_at(shape, threads, (32, 512))
    for shape in ((1, 16), (8, 384))
    for threads in (1, 2)
)


def test_measured_builds_stand_at_all_shapes():
    header, lines = shape_cells(view_of(example_study(OPEN)).rows)
    assert header == [
        "build",
        *(f"{s}, {t}" for s in ("1x16", "8x384") for t in ("1 thread", "2 threads")),
    ]
    assert lines[0] == ["dense", "200", "100", "200", "100"]
    # At 80 % all measurements were disturbed.
    builds = {line[0]: line[1:] for line in lines[1:]}
    assert set(builds) == {
        f"{b} at {s}" for b in ("1x1", "4x1", "16x1", "32x1") for s in ("80.0%", "95.0%")
    }
    assert builds["16x1 at 95.0%"] == ["84.6  2.60x", "42.3  2.60x"] * 2
    assert all(cell.endswith(" !") for cell in builds["4x1 at 80.0%"])


def test_where_nothing_was_measured_a_usual_sparsity_is_shown():
    _, lines = shape_cells(view_of(example_study(OPEN, measured=())).rows)
    assert [line[0] for line in lines] == [
        "dense",
        *(f"{b} at 90.0%" for b in ("1x1", "4x1", "16x1", "32x1")),
    ]
    assert all(cell.startswith("~") for line in lines[1:] for cell in line[1:])


def test_one_shape_needs_no_table_and_no_chart():
    rows = view_of(example_study()).rows
    assert shape_cells(rows) == ([], [])
    assert shapes_chart(rows) == {}


def test_the_chart_has_a_line_for_each_block_shape_and_number_of_threads():
    chart = shapes_chart(view_of(example_study(OPEN)).rows)
    assert chart["description"] == "At 90 % zero blocks."
    (line,) = layers_of(chart, "line", x="where", y="speedup", detail="threads")
    at = [row["where"] for row in rows_of(line, blocks="4x1")]
    assert at == [str(s) for t in (1, 2) for s in OPEN if s.threads == t]


def test_page_and_pull_request_say_that_it_is_one_build():
    study = example_study(OPEN)
    page, text = render_page(view_of(study), ""), render_markdown(study)
    for told in (page, text.lower()):
        assert "one build for any shape up to 32x512" in told
    assert "Speed-up over shapes" in page
    assert "| dense | 200 | 100 | 200 | 100 |" in text
