"""A study as Markdown: what a pull request needs to say."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tvm_sparse.report.economy_table import economy_cells
from tvm_sparse.report.rounded_table import rounded_cells
from tvm_sparse.report.study_shapes import shape_cells
from tvm_sparse.report.study_table import LEGEND, point_cell
from tvm_sparse.report.study_view import view_of
from tvm_sparse.sizes import block_name
from tvm_sparse.whatif.study import Study


def render_markdown(study: Study) -> str:
    """Return the facts of the page as GitHub's Markdown.

    Parameters
    ----------
    study : Study
        Its record.
    """
    view = view_of(study)
    lines = [f"## What if {_plain(view.name)} were pruned?", ""]
    if view.unreliable:
        lines += [f"> **Note:** {_plain(view.unreliable)}", ""]
    if view.verdict is not None:
        lines += [f"**{_plain(view.verdict.text)}**", ""]
        lines += [*_bullets(view.caveats), ""]
        lines += [*_table(*economy_cells(view.verdict.economies)), ""]
    for warning in view.warnings:
        lines += [f"> **Note:** {_plain(warning)}", ""]
    lines += [*_bullets(view.answers), ""]
    header, body = shape_cells(view.rows)
    if body:
        lines += [f"### {study.builds.capitalize()}: ms and speed-up over dense", ""]
        lines += [*_table(header, body), ""]
    for setting in study.settings:
        points = [r for r in study.points if r.point.setting == setting.setting]
        doubted = {d.block_shape for d in study.doubts if d.setting == setting.setting}
        shapes = sorted({r.point.block_shape for r in points})
        cells = {(r.point.sparsity, r.point.block_shape): point_cell(r, doubted) for r in points}
        sparsities = sorted({r.point.sparsity for r in points})
        lines += [f"### {setting.setting}: dense takes {setting.latency_ms:.3g} ms", ""]
        lines += _table(
            ["sparsity", *map(block_name, shapes)],
            [[f"{s:.1%}", *(cells[s, shape] for shape in shapes)] for s in sparsities],
        )
        lines.append("")
    for title, header, body in rounded_cells(study):
        lines += [f"### {title}", "", *_table(header, body), ""]
    lines += [LEGEND, ""]
    if study.fidelity is not None:
        header = ["method", "blocks", "sparsity", study.fidelity.measure]
        body = [
            [p.method, p.block, f"{p.sparsity:.1%}", f"{p.fidelity:.3f}"]
            for p in study.fidelity.points
            if p.fidelity is not None
        ]
        lines += [f"### Fidelity: {_plain(study.fidelity.meaning)}", "", *_table(header, body), ""]
    lines += [_plain(view.summary), "", "```", view.command, "```"]
    return "\n".join(lines) + "\n"


def _bullets(sentences: Sequence[str]) -> list[str]:
    return [f"- {_plain(sentence)}" for sentence in sentences]


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    rows = [header, [":--", *["--:"] * (len(header) - 1)], *body]
    return [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows]


def _plain(text: str) -> str:
    """Return a text whose letters mean themselves, on one line; `code` stays code."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:
        parts = ["\\`".join(parts)]
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"([|<*_~\[])", r"\\\1", parts[index])
    return "`".join(parts)
