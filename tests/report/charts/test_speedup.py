from __future__ import annotations

from dataclasses import replace

import pytest
from chart_marks import layers_of, lines_at, notes_of, rows_of
from example_study import BLOCKS, SPARSITIES, cost_model

from tvm_sparse.report.charts.speedup import speedup_chart
from tvm_sparse.tuning.setting import Setting

pytestmark = pytest.mark.unit


def test_lines_are_the_predictions(rows, shape) -> None:
    chart = speedup_chart(rows, shape)
    (line,) = layers_of(chart, "line", color="blocks")
    assert line["encoding"]["x"]["field"] == "density"
    assert line["encoding"]["y"]["field"] == "expected"
    for block in BLOCKS:
        model = cost_model(Setting(128, 1, 2, 1), block)
        found = rows_of(line, blocks=f"{block[0]}x1")
        assert [row["expected"] for row in found] == pytest.approx(
            [model.dense_ms / model.latency_ms(s) for s in SPARSITIES]
        )
        assert [row["density"] for row in found] == pytest.approx([1 - s for s in SPARSITIES])


def test_measurements_have_their_range_and_are_hollow_where_disturbed(rows, shape) -> None:
    chart = speedup_chart(rows, shape)
    (marks,) = layers_of(chart, "point", y="measured", shape="blocks")
    (spread,) = layers_of(chart, "rule", y="low", y2="high")
    hollow = marks["encoding"]["fillOpacity"]["condition"]
    assert hollow == {"test": "datum.disturbed", "value": 0}
    assert {row["zeros"] for row in rows_of(marks, disturbed=True)} == {"80 %"}
    assert {row["zeros"] for row in rows_of(marks, disturbed=False)} == {"95 %"}
    assert rows_of(marks) == rows_of(spread)
    assert len(rows_of(spread)) == 2 * len(BLOCKS)
    for row in rows_of(spread):
        assert row["high"] - row["measured"] == pytest.approx(0.05 * row["measured"])
        assert row["measured"] - row["low"] == pytest.approx(0.08 * row["measured"])


def test_tooltips_tell_prediction_and_measurement(rows, shape) -> None:
    chart = speedup_chart(rows, shape)
    (hovered,) = layers_of(chart, "point", y="expected")
    told = [entry["field"] for entry in hovered["encoding"]["tooltip"]]
    (row,) = rows_of(hovered, blocks="4x1", zeros="80 %")
    assert [row[field] for field in told] == [
        *("4x1", "80 %", "1.75×, 57.24 ms", "1.65×, 66.74 ms, disturbed")
    ]
    (row,) = rows_of(hovered, blocks="4x1", zeros="90 %")
    assert row[told[-1]] == "–"


def test_break_even_and_amdahls_limit(rows, shape) -> None:
    chart = speedup_chart(rows, shape)
    # 70 of 100 ms can run sparse.
    assert lines_at(chart) == pytest.approx([1, 100 / 30])
    assert notes_of(chart) == ["break-even", "Amdahl's limit: 3.33×"]
    ideal = layers_of(chart, "line")[-1]
    values = [row["expected"] for row in rows_of(ideal)]
    assert (values[0], values[-1]) == pytest.approx((1, 100 / (30 + 0.01 * 70)))


def test_limits_that_differ_are_told_apart(rows, shape) -> None:
    changed = [replace(r, amdahl_limit=2.0) if r.block_shape == "4x1" else r for r in rows]
    assert notes_of(speedup_chart(changed, shape))[1:] == [
        *("Amdahl's limit of 1x1, 16x1, 32x1: 3.33×", "Amdahl's limit of 4x1: 2.00×")
    ]


def test_a_far_limit_does_not_stretch_the_axis(rows, shape) -> None:
    far = [replace(row, amdahl_limit=51.0) for row in rows]
    chart = speedup_chart(far, shape)
    highest = max(row.predicted_speedup or 0 for row in rows)
    (line,) = layers_of(chart, "line", color="blocks")
    assert line["encoding"]["y"]["scale"]["domain"] == [0, pytest.approx(1.1 * highest)]
    assert lines_at(chart) == [1]
    assert notes_of(chart) == ["break-even", "Amdahl's limit: 51.00×, far above"]
    assert all(layer["mark"]["clip"] for layer in layers_of(chart, "line"))


def test_no_limit_is_no_line(rows, shape) -> None:
    unbound = [replace(row, amdahl_limit=None) for row in rows]
    assert lines_at(speedup_chart(unbound, shape)) == [1]


def test_a_line_goes_through_what_was_measured_and_doubted_ones_are_not_drawn(rows, shape) -> None:
    bent = [
        replace(r, expected_speedup=2.5, doubted=r.block_shape == "1x1") if r.block_shape else r
        for r in rows
    ]
    chart = speedup_chart(bent, shape)
    (line,) = layers_of(chart, "line", color="blocks")
    assert {row["expected"] for row in rows_of(line)} == {2.5}
    assert {row["blocks"] for row in rows_of(line)} == {"4x1", "16x1", "32x1"}
    assert "Not drawn: predictions of 1x1, which cannot be relied on." in chart["description"]
    (marks,) = layers_of(chart, "point", y="measured", shape="blocks")
    assert rows_of(marks, blocks="1x1")


def test_methods_at_one_sparsity_are_one_point(rows, shape) -> None:
    twice = [replace(row, method=method) for row in rows for method in ("magnitude", "wanda")]
    assert speedup_chart(twice, shape) == speedup_chart(rows, shape)


def test_another_shape_has_no_chart(rows, shape) -> None:
    assert speedup_chart(rows, replace(shape, batch=7)) == {}
