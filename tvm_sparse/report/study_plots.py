"""The charts of a study as PNG files, one shape each, for slides and documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tvm_sparse.report.chart_elements import percent, sparsity_axis
from tvm_sparse.report.palette import NEUTRAL, PARTS, series_colour
from tvm_sparse.report.plots import figure_class
from tvm_sparse.report.study_rows import (
    Shape,
    StudyRow,
    blocks_of,
    dense_row,
    ideal_speedup,
    limit_of,
    shapes_of,
    sparse_rows,
)
from tvm_sparse.report.study_scatters import TOLERANCE, pareto_front
from tvm_sparse.report.study_view import StudyView

_MARKERS = ("o", "s", "D", "^", "P", "*")
# Dotted is the curve of the non-zeros alone.
_STYLES: tuple[Any, ...] = ("-", "--", "-.", (0, (8, 2)), (0, (6, 2, 1, 2, 1, 2)))
_INCHES = (8.0, 4.8)
_DPI = 140


def save_plots(view: StudyView, directory: Path) -> list[Path]:
    """Draw a study and write PNG files.

    Parameters
    ----------
    view : StudyView
        What to draw.
    directory : Path
        An existing directory.

    Returns
    -------
    list of Path
        Of every chart that has something to show: `speedup`, `parts`, `memory` and `pareto`, one
        file a shape where there are several, and `prediction`.

    Raises
    ------
    DependencyError
        If matplotlib is not installed.
    OSError
        If a file cannot be written.
    """
    shapes = shapes_of(view.rows)
    charts: dict[str, Callable[[Sequence[StudyRow], Shape, Any], bool]] = {
        "speedup": draw_speedup,
        "parts": draw_parts,
        "memory": draw_memory,
        "pareto": draw_pareto,
    }
    written = []
    for name, draw in charts.items():
        for shape in shapes:
            suffix = f"-{_slug(shape)}" if len(shapes) > 1 else ""
            path = directory / f"{name}{suffix}.png"
            if _save(path, f"{view.name}, {shape}", partial(draw, view.rows, shape)):
                written.append(path)
    path = directory / "prediction.png"
    if _save(path, view.name, partial(draw_prediction, view.rows)):
        written.append(path)
    return written


def draw_speedup(rows: Sequence[StudyRow], shape: Shape, axis: Any) -> bool:
    """Draw the speed-up over sparsity; return whether there was anything to draw."""
    blocks = blocks_of(rows)
    for index, block in enumerate(blocks):
        found = sparse_rows(rows, shape, block)
        predicted = [row for row in found if row.predicted_speedup is not None]
        measured = [row for row in found if row.measured_speedup is not None]
        axis.plot(
            [sparsity_axis(row.sparsity) for row in predicted],
            [row.predicted_speedup for row in predicted],
            color=series_colour(index),
            linestyle=_STYLES[index % len(_STYLES)],
            label=f"{block}, predicted",
        )
        if measured:
            low, high = zip(*(row.speedup_spread for row in measured), strict=True)
            axis.errorbar(
                [sparsity_axis(row.sparsity) for row in measured],
                [row.measured_speedup for row in measured],
                yerr=[low, high],
                fmt=_MARKERS[index % len(_MARKERS)],
                color=series_colour(index),
                capsize=3,
                label=f"{block}, measured (80 % of rounds)",
            )
    used = [row for row in rows if row.shape == shape and row.block_shape]
    limits = {limit for block in blocks if (limit := limit_of(rows, shape, block))}
    for limit in limits:
        axis.axhline(limit, color=NEUTRAL, linestyle="--", linewidth=1)
        _note(axis, limit, f"Amdahl's limit {limit:.2f}×")
        ends = max((sparsity_axis(row.sparsity) for row in used), default=0.0)
        steps = [ends * step / 60 for step in range(61)]
        ideal = [ideal_speedup(limit, 1 - 10**-x) for x in steps]
        axis.plot(steps, ideal, color=NEUTRAL, linestyle=":", label="cost of non-zeros alone")
    axis.axhline(1.0, color=NEUTRAL, linewidth=1)
    _note(axis, 1.0, "break-even", 1)
    _sparsity_ticks(axis, used)
    axis.set_ylabel("speed-up over dense (times)")
    axis.set_ylim(bottom=0)
    return bool(used)


def draw_parts(rows: Sequence[StudyRow], shape: Shape, axis: Any) -> bool:
    """Draw the latency by part: dense, then the fastest build of every block shape."""
    dense = dense_row(rows, shape)
    shown = [("dense", dense)] if dense and dense.parts_ms else []
    for block in blocks_of(rows):
        found = [r for r in sparse_rows(rows, shape, block) if r.parts_ms and r.latency_ms]
        if found:
            best = min(found, key=lambda row: row.latency_ms or 0.0)
            shown.append((f"{block}\n{percent(best.sparsity)}\n{best.parts_from}", best))
    bottoms = [0.0] * len(shown)
    for part, colour in PARTS.items():
        heights = [row.parts_ms.get(part, 0.0) for _, row in shown]
        axis.bar([label for label, _ in shown], heights, 0.6, bottoms, color=colour, label=part)
        bottoms = [b + h for b, h in zip(bottoms, heights, strict=True)]
    axis.set_ylabel("latency (ms)")
    axis.set_xlabel("the fastest build of each block shape")
    return len(shown) > 1


def draw_memory(rows: Sequence[StudyRow], shape: Shape, axis: Any) -> bool:
    """Draw the size of the weights over sparsity; return whether there was anything to draw."""
    for index, block in enumerate(blocks_of(rows)):
        found = [row for row in sparse_rows(rows, shape, block) if row.weights_bytes is not None]
        axis.plot(
            [sparsity_axis(row.sparsity) for row in found],
            [(row.weights_bytes or 0) / 1e6 for row in found],
            color=series_colour(index),
            marker=_MARKERS[index % len(_MARKERS)],
            label=block,
        )
    dense = dense_row(rows, shape)
    if dense and dense.weights_bytes:
        axis.axhline(dense.weights_bytes / 1e6, color=NEUTRAL, linewidth=1)
        _note(axis, dense.weights_bytes / 1e6, f"dense, {dense.weights_bytes / 1e6:.4g} MB", 1)
    used = [row for row in rows if row.shape == shape and row.block_shape]
    _sparsity_ticks(axis, used)
    axis.set_ylabel("weights in memory (MB)")
    axis.set_ylim(bottom=0)
    return any(row.weights_bytes for row in used)


def draw_prediction(rows: Sequence[StudyRow], axis: Any) -> bool:
    """Draw predicted over measured latency; return whether there was anything to draw."""
    both = [row for row in rows if row.adjusted_ms and row.measured_ms]
    if not both:
        return False
    values = [value for row in both for value in (row.adjusted_ms or 0, row.measured_ms or 0)]
    ends = [0.85 * min(values), 1.15 * max(values)]
    low, high = ([(1 + sign * TOLERANCE) * end for end in ends] for sign in (-1, 1))
    axis.fill_between(ends, low, high, color=NEUTRAL, alpha=0.18, label=f"within {TOLERANCE:.0%}")
    axis.plot(ends, ends, color=NEUTRAL, linewidth=1)
    for index, block in enumerate(blocks_of(both)):
        found = [row for row in both if row.block_shape == block]
        axis.scatter(
            [row.measured_ms for row in found],
            [row.adjusted_ms for row in found],
            color=series_colour(index),
            marker=_MARKERS[index % len(_MARKERS)],
            label=block,
        )
    axis.set_xlabel("measured latency (ms)")
    axis.set_ylabel("predicted latency (ms)")
    axis.set_xlim(*ends)
    axis.set_ylim(*ends)
    return True


def draw_pareto(rows: Sequence[StudyRow], shape: Shape, axis: Any) -> bool:
    """Draw speed-up over fidelity; return whether there was anything to draw."""
    known = [r for r in rows if r.shape == shape and r.fidelity is not None and r.speedup]
    methods = sorted({row.method for row in known})
    front = pareto_front(known)
    axis.plot(
        [row.fidelity for row in front],
        [row.speedup for row in front],
        color=NEUTRAL,
        linestyle=":",
    )
    for index, block in enumerate(blocks_of(known)):
        for number, method in enumerate(methods):
            found = [r for r in known if r.block_shape == block and r.method == method]
            axis.scatter(
                [row.fidelity for row in found],
                [row.speedup for row in found],
                color=series_colour(index),
                marker=_MARKERS[number % len(_MARKERS)],
                label=f"{block} {method}".strip() if found else None,
            )
    axis.axhline(1.0, color=NEUTRAL, linewidth=1)
    axis.set_xlabel("fidelity to the dense model (1 = equal)")
    axis.set_ylabel("speed-up over dense (times)")
    return bool(known)


def _save(path: Path, title: str, draw: Callable[[Any], bool]) -> bool:
    """Draw into a new figure and write it, unless there was nothing to draw."""
    figure = figure_class()(figsize=_INCHES, layout="constrained")
    axis = figure.subplots()
    if not draw(axis):
        return False
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.set_title(title, loc="left", fontsize=10)
    axis.grid(axis="y", alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    # Without the program's version the same study gives the same file.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return True


def _sparsity_ticks(axis: Any, used: Sequence[StudyRow]) -> None:
    sparsities = sorted({row.sparsity for row in used})
    axis.set_xticks([sparsity_axis(s) for s in sparsities], [percent(s) for s in sparsities])
    axis.tick_params(axis="x", labelsize=8, rotation=45 if len(sparsities) > 8 else 0)
    axis.set_xlabel("zero blocks (logarithmic in what is left)")


def _note(axis: Any, y: float, text: str, x: float = 0) -> None:
    axis.annotate(
        text,
        (x, y),
        (3 if x == 0 else -3, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="left" if x == 0 else "right",
        fontsize=8,
        color="#555555",
    )


def _slug(shape: Shape) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(shape).lower()).strip("-")
