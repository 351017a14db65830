"""The table of a study's builds with products of 8 bits."""

from __future__ import annotations

from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.whatif.rounded_point import NO_BLOCKS, RoundedPoint, rounded_label
from tvm_sparse.whatif.study import Study


def rounded_cells(study: Study) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return title, header and rows for each input shape and number of threads.

    Parameters
    ----------
    study : Study
        The study; of one that rounds nothing there are none.
    """
    settings = dict.fromkeys(point.setting for point in study.rounded)
    found = []
    for setting in settings:
        here = [point for point in study.rounded if point.setting == setting]
        (dense,) = (point for point in here if point.block_shape == NO_BLOCKS)
        scheme = dense.scheme.replace("int8", "INT8")
        title = f"{setting}, {scheme}: dense takes {_dense(dense)}"
        shapes = sorted({point.block_shape for point in here} - {NO_BLOCKS})
        cells = {(point.sparsity, point.block_shape): _cell(point) for point in here}
        body = [
            [f"{sparsity:.1%}", *(cells.get((sparsity, shape), "") for shape in shapes)]
            for sparsity in sorted({point.sparsity for point in here if point is not dense})
        ]
        found.append((title, ["sparsity", *map(rounded_label, shapes)], body))
    return found


def render_rounded(study: Study) -> list[FittedTable]:
    """Return the same as tables for a terminal."""
    tables = []
    for title, (first, *header), body in rounded_cells(study):
        table = FittedTable(f"{study.model.name}, {title}")
        table.add_column(first, right=True, bold=True)
        for label in header:
            table.add_column(label, wraps=True)
        for row in body:
            table.add_row(*row)
        tables.append(table)
    return tables


def _dense(point: RoundedPoint) -> str:
    about = "" if point.measured else "about "
    mark = " !" if point.measured and point.measured.disturbed else ""
    return f"{about}{point.latency_ms:.3g} ms, {point.speedup:.2f}x{mark}"


def _cell(point: RoundedPoint) -> str:
    times = f"{point.latency_ms:.3g}  {point.speedup:.2f}x"
    if point.measured is None:
        return f"~{times}"
    return f" {times}  ({point.error:+.0%}){' !' if point.measured.disturbed else ''}"
