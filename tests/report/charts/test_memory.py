from __future__ import annotations

import pytest
from chart_marks import layers_of, lines_at, notes_of, rows_of
from example_study import SPARSITIES, cost_model

from tvm_sparse.report.charts.memory import memory_chart
from tvm_sparse.tuning.setting import Setting

pytestmark = pytest.mark.unit


def test_a_line_per_block_shape_and_one_for_dense(rows, shape) -> None:
    chart = memory_chart(rows, shape)
    (line,) = layers_of(chart, "line", y="size_mb")
    assert line["encoding"]["color"]["scale"]["domain"] == ["1x1", "4x1", "16x1", "32x1"]
    model = cost_model(Setting(128, 1, 2, 1), (4, 1))
    assert [row["size_mb"] for row in rows_of(line, blocks="4x1")] == pytest.approx(
        [model.predict(s).weights_bytes / 1e6 for s in SPARSITIES]
    )
    assert lines_at(chart) == [440]
    assert notes_of(chart) == ["dense, 440 MB"]
