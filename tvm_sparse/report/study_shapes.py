"""The builds of a study at all its shapes, as the cells of one table."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.report.study_rows import Shape, StudyRow, dense_row, shapes_of
from tvm_sparse.whatif.grid import usual_sparsity
from tvm_sparse.words import counted


def shape_cells(rows: Sequence[StudyRow]) -> tuple[list[str], list[list[str]]]:
    """Return header and lines: a line a build, a column a shape; no lines for one shape.

    Parameters
    ----------
    rows : sequence of StudyRow
        All builds. Those that were measured somewhere are shown, or else those of one sparsity.
    """
    shapes = shapes_of(rows)
    if len({(shape.batch, shape.seq_len) for shape in shapes}) < 2:
        return [], []
    sparse = {(r.block_shape, r.sparsity, r.shape): r for r in reversed(rows) if r.block_shape}
    shown = {key[:2] for key, row in sparse.items() if row.measured_ms}
    if not shown:
        near = usual_sparsity(row.sparsity for row in sparse.values())
        shown = {key[:2] for key in sparse if key[1] == near}
    several = len({shape.threads for shape in shapes}) > 1
    lines = [["dense", *(_dense_cell(dense_row(rows, shape)) for shape in shapes)]]
    builds = dict.fromkeys((r.block_shape, r.sparsity) for r in rows if r.block_shape)
    for block, sparsity in builds:
        if (block, sparsity) in shown:
            cells = (_cell(sparse.get((block, sparsity, shape))) for shape in shapes)
            lines.append([f"{block} at {sparsity:.1%}", *cells])
    return ["build", *(_name(shape, several) for shape in shapes)], lines


def render_shapes_of(rows: Sequence[StudyRow], title: str) -> list[FittedTable]:
    """Return the table for a terminal; none for one shape."""
    header, lines = shape_cells(rows)
    if not lines:
        return []
    table = FittedTable(title)
    for index, name in enumerate(header):
        table.add_column(name, bold=not index, wraps=bool(index))
    for line in lines:
        table.add_row(*line)
    return [table]


def _name(shape: Shape, with_threads: bool) -> str:
    threads = f", {counted(shape.threads, 'thread')}" if with_threads else ""
    return f"{shape.batch}x{shape.seq_len}{threads}"


def _dense_cell(row: StudyRow | None) -> str:
    return "" if row is None else f"{row.latency_ms:.3g}{' !' if row.disturbed else ''}"


def _cell(row: StudyRow | None) -> str:
    if row is None or row.latency_ms is None or row.speedup is None:
        return ""
    text = f"{row.latency_ms:.3g}  {row.speedup:.2f}x"
    if row.measured_ms is None:
        return f"~{text}{' ?' if row.doubted else ''}"
    return f"{text}{' !' if row.disturbed else ''}"
