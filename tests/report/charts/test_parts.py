from __future__ import annotations

import pytest
from chart_marks import rows_of

from tvm_sparse.report.charts.parts import parts_chart

pytestmark = pytest.mark.unit


def test_parts_add_up_to_the_latency(rows, shape) -> None:
    chart = parts_chart(rows, shape, "16x1")
    shown = [row for row in rows if row.shape == shape and row.block_shape in ("", "16x1")]
    labels = list(dict.fromkeys(bar["build"] for bar in rows_of(chart)))
    assert labels[:2] == ["dense", "0 %"]
    sums = [sum(bar["latency_ms"] for bar in rows_of(chart, build=label)) for label in labels]
    assert sums == pytest.approx([row.latency_ms for row in shown])
    parts = [bar["part"] for bar in rows_of(chart, build="dense")]
    assert parts == chart["encoding"]["color"]["scale"]["domain"]
    assert parts == ["products", "attention", "norms", "rest"]
