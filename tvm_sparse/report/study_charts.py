"""All charts of a study: what the page shows and what is written as pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tvm_sparse.report.charts.elements import Chart
from tvm_sparse.report.charts.memory import memory_chart
from tvm_sparse.report.charts.pareto import pareto_chart
from tvm_sparse.report.charts.parts import parts_chart
from tvm_sparse.report.charts.prediction import prediction_chart
from tvm_sparse.report.charts.render import save_chart
from tvm_sparse.report.charts.shapes import shapes_chart
from tvm_sparse.report.charts.speedup import speedup_chart
from tvm_sparse.report.study_rows import Shape, StudyRow, blocks_of, shapes_of
from tvm_sparse.report.study_view import StudyView


@dataclass(frozen=True)
class StudyChart:
    """One chart of a study, and the choice at which it is shown: empty if it is at any."""

    name: str
    chart: Chart
    shape: str = ""
    block: str = ""


def charts_of(view: StudyView) -> list[StudyChart]:
    """Return every chart that has something to show."""
    rows, blocks = view.rows, blocks_of(view.rows)
    others = [
        (entry["engine"], Shape(*(entry[n] for n in ("batch", "seq_len", "threads"))), speedup)
        for entry in view.alternatives
        if (speedup := entry.get("speedup"))
    ]
    found = [
        StudyChart("shapes", shapes_chart(rows)),
        StudyChart("prediction", prediction_chart(rows)),
    ]
    for shape in shapes_of(rows):
        at = str(shape)
        found += [
            StudyChart("speedup", speedup_chart(rows, shape, others), at),
            StudyChart("memory", memory_chart(rows, shape), at),
            StudyChart("pareto", pareto_chart(rows, shape), at),
            *(StudyChart("parts", parts_chart(rows, shape, b), at, b) for b in blocks),
        ]
    return [chart for chart in found if chart.chart]


def fastest_block(rows: tuple[StudyRow, ...]) -> str:
    """Return the block shape of the fastest sparse build, empty if there is none."""
    sparse = [row for row in rows if row.block_shape]
    return max(sparse, key=lambda row: row.speedup or 0.0).block_shape if sparse else ""


def save_charts(view: StudyView, directory: Path) -> list[Path]:
    """Write the charts as PNG files, `parts` for the fastest block shape.

    Returns
    -------
    list of Path
        One file a chart, or a chart and shape where there are several shapes.

    Raises
    ------
    DependencyError
        If vl-convert-python is not installed.
    BuildError
        If a file cannot be written.
    """
    several, fastest = len(shapes_of(view.rows)) > 1, fastest_block(view.rows)
    written = []
    for found in charts_of(view):
        if found.block in ("", fastest):
            slug = re.sub(r"[^a-z0-9]+", "-", found.shape.lower()) if several else ""
            path = directory / f"{found.name}{'-' if slug else ''}{slug}.png"
            save_chart(found.chart, path, ", ".join(filter(None, (view.name, found.shape))))
            written.append(path)
    return written
