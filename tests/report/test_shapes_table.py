"""Several shapes in one table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_record import example_record
from rich.console import Console

from tvm_sparse.report.shapes_table import render_shapes

pytestmark = pytest.mark.unit


def test_a_row_for_each_shape() -> None:
    record = example_record()
    model = record.spec["model"]
    records = [
        replace(record, spec={**record.spec, "model": {**model, "batch": n, "seq_len": s}})
        for n, s in ((1, 16), (8, 384))
    ]
    console = Console(width=120)
    with console.capture() as capture:
        console.print(render_shapes(records))
    text = capture.get()
    first, second = (line.split() for line in text.splitlines() if line[1:2].isdigit())
    assert (first[0], second[0]) == ("1x16", "8x384")
    median = record.builds["dense"].latency_ms.median
    assert first[2] == f"{16 / median * 1e3:.0f}"
    assert second[2] == f"{8 * 384 / median * 1e3:.0f}"
    assert "dense (tokens/s)" in text
