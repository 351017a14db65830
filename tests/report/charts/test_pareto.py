from __future__ import annotations

import pytest
from chart_marks import layers_of, rows_of

from tvm_sparse.report.charts.pareto import pareto_chart, pareto_front
from tvm_sparse.report.study_rows import Shape, StudyRow

pytestmark = pytest.mark.unit


def row(sparsity: float, fidelity: float | None, speedup: float, method: str = "") -> StudyRow:
    return StudyRow(
        *(1, 128, 2, "sparse", "4x1", sparsity, method),
        speedup=speedup,
        fidelity=fidelity,
    )


BEST, FAST, BEATEN = row(0.8, 0.99, 1.5), row(0.95, 0.9, 3.0), row(0.93, 0.89, 2.9, "wanda")


def test_the_front_is_what_no_other_one_beats() -> None:
    assert pareto_front([BEATEN, FAST, BEST, row(0.9, None, 9.0)]) == [BEST, FAST]


def test_points_by_method_and_the_front_with_its_sparsities() -> None:
    chart = pareto_chart([BEATEN, FAST, BEST], Shape(1, 128, 2))
    (points,) = layers_of(chart, "point", x="fidelity", y="speedup", color="blocks", shape="method")
    assert [found["method"] for found in rows_of(points)] == ["wanda", "not pruned", "not pruned"]
    (front,) = layers_of(chart, "line", x="fidelity", y="speedup")
    (labels,) = layers_of(chart, "text", text="zeros")
    assert rows_of(front) == rows_of(labels)
    assert [found["zeros"] for found in rows_of(labels)] == ["80 %", "95 %"]


def test_labels_do_not_lie_on_each_other() -> None:
    near = row(0.94, 0.901, 2.99)
    chart = pareto_chart([BEST, FAST, near], Shape(1, 128, 2))
    (front,) = layers_of(chart, "line", x="fidelity", y="speedup")
    (labels,) = layers_of(chart, "text", text="zeros")
    assert [found["zeros"] for found in rows_of(front)] == ["80 %", "94 %", "95 %"]
    assert [found["zeros"] for found in rows_of(labels)] == ["80 %", "94 %"]


def test_without_fidelities_there_is_no_chart() -> None:
    assert pareto_chart([row(0.9, None, 9.0)], Shape(1, 128, 2)) == {}
