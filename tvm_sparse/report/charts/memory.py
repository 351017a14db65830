"""The size of the weights in memory over sparsity."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_sparse.report.charts.elements import (
    FADED,
    PICK,
    Chart,
    axis,
    block_symbols,
    datum,
    layer,
    line_at,
    sparsity_axis,
    symbols,
    tooltip,
)
from tvm_sparse.report.charts.palette import SOLID
from tvm_sparse.report.study_rows import Shape, StudyRow, blocks_of, dense_row, sparse_rows


def memory_chart(rows: Sequence[StudyRow], shape: Shape) -> Chart:
    """Draw the size of the weights in memory over sparsity, a line per block shape."""
    blocks = blocks_of(rows)
    used = [row for block in blocks for row in sparse_rows(rows, shape, block) if row.weights_bytes]
    if not used:
        return {}
    # Nothing disturbs a size.
    found = [
        datum(row, size_mb=size_mb, size_text=f"{size_mb:.4g} MB", disturbed=False)
        for row in used
        for size_mb in [(row.weights_bytes or 0) / 1e6]
    ]
    y, look = axis("weights in memory (MB)"), block_symbols(blocks)
    at = {"x": sparsity_axis(used), "y": {**y, "field": "size_mb"}, "opacity": FADED}
    tips = tooltip(blocks="blocks", zeros="zero blocks", size_text="weights")
    layers = [
        layer(found, {"type": "line"}, {**at, "color": look["color"]}, PICK),
        symbols(found, {**at, **look, "tooltip": tips}),
    ]
    dense = dense_row(rows, shape)
    if dense and dense.weights_bytes:
        size_mb = dense.weights_bytes / 1e6
        layers += line_at(y, size_mb, f"dense, {size_mb:.4g} MB", SOLID, "right")
    return {"layer": layers}
