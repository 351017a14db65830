"""Builds of 8 bits in the tables and charts of a study."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from example_study import example_study
from rich.console import Console

from tvm_sparse.bench.output_error import OutputError
from tvm_sparse.report.charts.pareto import pareto_chart
from tvm_sparse.report.charts.speedup import speedup_chart
from tvm_sparse.report.markdown import render_markdown
from tvm_sparse.report.rounded_table import render_rounded
from tvm_sparse.report.study_rows import blocks_of
from tvm_sparse.report.study_view import view_of
from tvm_sparse.whatif.rounded_point import NO_BLOCKS, MeasuredRounding, RoundedPoint
from tvm_sparse.whatif.study import FidelityPoint, Study, StudyFidelity

pytestmark = pytest.mark.unit


def rounded_study() -> Study:
    study = example_study()
    setting = study.settings[0].setting
    measured = MeasuredRounding(5.0, 2.0, OutputError(0.04, 0.999), disturbed=True)
    rounded = (
        RoundedPoint(setting, "int8", NO_BLOCKS, 0.0, 5.5, 1.8, 1000, measured),
        RoundedPoint(setting, "int8", (4, 4), 0.9, 2.5, 4.0, 100),
    )
    points = (
        FidelityPoint("", "dense INT8", 0.0, 0.99),
        FidelityPoint("magnitude", "4x4 INT8", 0.9, 0.7),
    )
    return replace(study, rounded=rounded, fidelity=StudyFidelity("cosine", "a cosine", points))


def test_a_table_of_them() -> None:
    (table,) = render_rounded(rounded_study())
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "INT8: dense takes 5 ms, 2.00x !" in text
    assert "4x4 INT8" in text
    assert "90.0%" in text
    assert "~2.5  4.00x" in text
    assert render_rounded(example_study()) == []


def test_they_are_builds_like_others() -> None:
    rows = view_of(rounded_study()).rows
    found = {row.block_shape: row for row in rows if "INT8" in row.block_shape}
    assert blocks_of(rows)[-2:] == ["dense INT8", "4x4 INT8"]
    assert (found["dense INT8"].build, found["4x4 INT8"].build) == ("int8", "int8-sparse")
    assert found["dense INT8"].measured_ms == 5.0
    assert found["4x4 INT8"].measured_ms is None
    assert found["4x4 INT8"].fidelity == 0.7


def test_the_chart_of_speed_over_sparsity_has_their_curve() -> None:
    rows = view_of(rounded_study()).rows
    shape = next(row.shape for row in rows if "INT8" in row.block_shape)
    drawn = speedup_chart(rows, shape)["layer"]
    (line,) = (one for one in drawn if one["mark"].get("type") == "line" and "params" in one)
    expected = {row["blocks"]: row["expected"] for row in line["data"]["values"]}
    assert expected["4x4 INT8"] == pytest.approx(4.0)


def test_the_chart_of_speed_over_fidelity_has_them_in_the_same_colours() -> None:
    rows = view_of(rounded_study()).rows
    shape = next(row.shape for row in rows if "INT8" in row.block_shape)
    drawn = pareto_chart(rows, shape)
    assert "dense INT8" in str(drawn)
    assert "4x4 INT8" in str(drawn)
    colours = [_colours(chart) for chart in (speedup_chart(rows, shape), drawn)]
    assert len(colours[0]) > len(colours[1])
    assert colours[0] | colours[1] == colours[0]


def _colours(chart: Any) -> dict[str, str]:
    """Return the colour of each block shape."""
    scales = [one["encoding"].get("color", {}).get("scale") for one in chart["layer"]]
    (scale, *_) = filter(None, scales)
    return dict(zip(scale["domain"], scale["range"], strict=True))


def test_predictions_of_them_are_judged_and_a_pull_request_has_them() -> None:
    row = next(r for r in view_of(rounded_study()).rows if r.block_shape == "dense INT8")
    assert row.prediction_error == pytest.approx(2.0 / 1.8 - 1)
    assert row.adjusted_ms == pytest.approx(5.0 * 2.0 / 1.8)
    text = render_markdown(rounded_study())
    assert ", INT8: dense takes 5 ms, 2.00x !" in text
    assert "| 90.0% | \\~2.5 4.00x |" in text
