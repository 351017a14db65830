from __future__ import annotations

from dataclasses import replace

import pytest
from chart_marks import layers_of, rows_of

from tvm_sparse.report.charts.prediction import prediction_chart

pytestmark = pytest.mark.unit


def test_it_is_compared_at_the_speed_of_the_measurement(rows) -> None:
    chart = prediction_chart(rows)
    (marks,) = layers_of(chart, "point", x="measured", y="predicted", shape="blocks")
    points = rows_of(marks)
    assert {row["zeros"] for row in points if row["disturbed"]} == {"80 %"}
    assert {row["blocks"] for row in points} == {"1x1", "4x1", "16x1", "32x1"}
    assert len({row["where"] for row in points}) == 2
    for row in points:
        assert row["measured"] / row["predicted"] == pytest.approx(1.06)
        assert row["predicted_text"].endswith(" ms (-5.7%)")


def test_the_tolerance_lies_around_the_line(rows) -> None:
    (band,) = layers_of(prediction_chart(rows), "area", y="low", y2="high")
    for row in rows_of(band):
        assert (row["low"], row["high"]) == pytest.approx(
            (0.85 * row["equal"], 1.15 * row["equal"])
        )


def test_a_wide_span_is_logarithmic(rows) -> None:
    def scale(found):
        return layers_of(prediction_chart(found), "point")[0]["encoding"]["x"]["scale"]["type"]

    slow = [replace(r, measured_ms=2e3, adjusted_ms=2e3) for r in rows if r.measured_ms]
    assert (scale(rows), scale([*rows, *slow])) == ("linear", "log")


def test_without_measurements_there_is_no_chart(rows) -> None:
    assert prediction_chart([replace(row, measured_ms=None) for row in rows]) == {}
