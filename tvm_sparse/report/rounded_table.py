"""The table of a study's builds with products of 8 bits."""

from __future__ import annotations

from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.sizes import block_name
from tvm_sparse.whatif.rounded_point import NO_BLOCKS, RoundedPoint
from tvm_sparse.whatif.study import Study


def render_rounded(study: Study) -> list[FittedTable]:
    """Return a table for each input shape and number of threads; none where nobody asked.

    Parameters
    ----------
    study : Study
        The study.
    """
    settings = dict.fromkeys(point.setting for point in study.rounded)
    tables = []
    for setting in settings:
        here = [point for point in study.rounded if point.setting == setting]
        (dense,) = (point for point in here if point.block_shape == NO_BLOCKS)
        title = f"{study.model.name}, {setting}, {dense.scheme}: dense takes {_cell(dense)}"
        table = FittedTable(title)
        table.add_column("sparsity", right=True, bold=True)
        shapes = sorted({point.block_shape for point in here} - {NO_BLOCKS})
        for shape in shapes:
            table.add_column(f"{block_name(shape)} INT8", wraps=True)
        cells = {(point.sparsity, point.block_shape): _cell(point) for point in here}
        for sparsity in sorted({point.sparsity for point in here if point is not dense}):
            row = (cells.get((sparsity, shape), "") for shape in shapes)
            table.add_row(f"{sparsity:.1%}", *row)
        tables.append(table)
    return tables


def _cell(point: RoundedPoint) -> str:
    times = f"{point.latency_ms:.3g}  {point.speedup:.2f}x"
    if point.measured is None:
        return f"~{times}"
    return f" {times}{' !' if point.measured.disturbed else ''}"
