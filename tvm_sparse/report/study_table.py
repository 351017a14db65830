"""The table of a what-if study on a terminal: sparsities down, block shapes across."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.report.study_shapes import render_shapes_of
from tvm_sparse.report.study_view import view_of
from tvm_sparse.sizes import block_name
from tvm_sparse.whatif.point_results import PointResult, SettingResult
from tvm_sparse.whatif.study import Study

LEGEND = (
    "Milliseconds of one inference and the speed-up over dense. ~ is predicted, and brought into "
    "line with what was measured beside it; a measured cell tells by how much the prediction was "
    "off. ! marks measurements that something disturbed, ? predictions that cannot be relied on."
)


def render_study(study: Study) -> list[FittedTable]:
    """Return a table of all shapes, and one for each input shape and number of threads.

    Parameters
    ----------
    study : Study
        The study.
    """
    title = f"{study.model.name}, {study.builds}: milliseconds and speed-up over dense"
    return render_shapes_of(view_of(study).rows, title) + [
        _render_setting(
            str(study.model.name),
            setting,
            [point for point in study.points if point.point.setting == setting.setting],
            {d.block_shape for d in study.doubts if d.setting == setting.setting},
        )
        for setting in study.settings
    ]


def _render_setting(
    name: str, setting: SettingResult, results: Sequence[PointResult], doubted: Collection[str]
) -> FittedTable:
    mark = " !" if setting.disturbed else ""
    table = FittedTable(f"{name}, {setting.setting}: dense takes {setting.latency_ms:.3g} ms{mark}")
    table.add_column("sparsity", right=True, bold=True)
    shapes = sorted({result.point.block_shape for result in results})
    for shape in shapes:
        table.add_column(block_name(shape), wraps=True)
    cells = {(r.point.sparsity, r.point.block_shape): point_cell(r, doubted) for r in results}
    for sparsity in sorted({result.point.sparsity for result in results}):
        table.add_row(f"{sparsity:.1%}", *(cells.get((sparsity, shape), "") for shape in shapes))
    return table


def point_cell(result: PointResult, doubted: Collection[str]) -> str:
    """Return what a table says of a point; `doubted` are block shapes such as `4x1`."""
    times = f"{result.latency_ms:.3g}  {result.speedup:.2f}x"
    if result.measured is None:
        return f"~{times}{' ?' if block_name(result.point.block_shape) in doubted else ''}"
    error = f"  ({result.error:+.0%})" if result.error is not None else ""
    return f" {times}{error}{' !' if result.measured.disturbed else ''}"
