"""An analysis as a table, as sentences and as CSV: `tvm_sparse.analysis.layers` in, text out."""

from __future__ import annotations

import csv
import io
import os
import re

from rich.text import Text

from tvm_sparse.analysis.layers import Analysis, LayerAnalysis
from tvm_sparse.formats.builds import build_of
from tvm_sparse.formats.registry import rounds_blocks
from tvm_sparse.report.figures import describe_size
from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.sizes import block_name
from tvm_sparse.words import counted

_UNKNOWN = "-"


def render_layers(analysis: Analysis) -> FittedTable:
    """Return one row per dense layer, and their sums.

    Parameters
    ----------
    analysis : Analysis
        With or without times and predictions.
    """
    blocks = _blocks(analysis)
    timed = analysis.timed_build is not None
    predicted = any(layer.predicted_sparse_ms is not None for layer in analysis.layers)
    table = FittedTable(f"Dense layers, and their zeros in blocks of {', '.join(blocks)}")
    table.add_column("layer")
    for rank, column in enumerate(("shape", "MFLOP", "params")):
        table.add_column(column, right=True, spare=6 + rank)
    for block in blocks:
        decides = block == block_name(analysis.block_shape)
        table.add_column(block, right=True, spare=1 if decides else 5)
    if timed:
        table.add_column(f"{analysis.timed_build}\nms", right=True, spare=3)
        table.add_column("share", right=True, spare=4)
    if predicted:
        table.add_column("predicted\nms", right=True, spare=2)
    rounded = bool(analysis.scheme) or any(layer.dtype != "float32" for layer in analysis.layers)
    timed_int8 = analysis.predicted_int8_latency_ms is not None
    in_8_bits = sum(layer.dtype.startswith("int8") for layer in analysis.layers)
    if timed_int8:
        table.add_column("dense INT8\nms", right=True, spare=2)
    if rounded:
        table.add_column("INT8\nerror", right=True, spare=2)
    table.add_column("runs" if analysis.origin.startswith("artifact") else "would run", wraps=True)
    prefix = _common_path([layer.weight for layer in analysis.layers])
    for layer in analysis.layers:
        table.add_row(
            *_row(layer, prefix, blocks),
            *([_number(layer.latency_ms), _share(layer.latency_share)] if timed else []),
            *([_number(layer.predicted_sparse_ms)] if predicted else []),
            *([_number(layer.predicted_int8_ms)] if timed_int8 else []),
            *([_error(layer.int8_error)] if rounded else []),
            _verdict(layer, rounded),
        )
    totals = analysis.totals
    table.add_section()
    table.add_row(
        f"all {counted(totals.layers, 'layer')}",
        "",
        _mega(totals.flops),
        _count(totals.num_params),
        *_total_zeros(analysis, blocks),
        *([_number(totals.latency_ms), _share(totals.latency_share)] if timed else []),
        *([_number(totals.predicted_sparse_ms)] if predicted else []),
        *([_number(totals.predicted_int8_ms)] if timed_int8 else []),
        *([""] if rounded else []),
        f"{totals.sparse} sparse" + (f", {in_8_bits} in 8 bits" if rounded else ""),
    )
    return table


def describe_analysis(analysis: Analysis) -> list[str]:
    """Return what the table does not say, in lines.

    Parameters
    ----------
    analysis : Analysis
        With or without times and predictions.
    """
    totals = analysis.totals
    lines = [
        f"{_count(totals.num_params)} parameters in {counted(totals.layers, 'dense layer')}, "
        f"{describe_size(totals.size_bytes)}, {totals.element_sparsity:.1%} of them zero; "
        f"{totals.eligible} of the layers can run sparse, {totals.sparse} "
        f"{'do' if analysis.origin.startswith('artifact') else 'would'}, "
        f"{totals.sparse_flops_share:.1%} of the FLOPs"
    ]
    if analysis.parts_ms:
        total = sum(analysis.parts_ms.values())
        parts = ", ".join(
            f"{name} {_number(ms)} ms ({ms / total:.1%})" if total else name
            for name, ms in analysis.parts_ms.items()
        )
        lines.append(
            f"the {analysis.timed_build} build takes {_number(analysis.latency_ms)} ms (median): "
            f"{parts}"
        )
    if totals.predicted_sparse_ms is not None:
        lines.append(_describe_prediction(analysis))
    if totals.predicted_int8_ms is not None:
        lines.append(_describe_rounding(analysis))
    if any(layer.timed_with for layer in analysis.layers):
        lines.append("layers that one kernel call multiplies share its time by their FLOPs")
    return lines


def analysis_csv(analysis: Analysis) -> str:
    """Return the layers as CSV, one line each, with the names of the JSON form's fields.

    Parameters
    ----------
    analysis : Analysis
        With or without times and predictions.
    """
    blocks = _blocks(analysis)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    plain = ("num_params", "flops", "size_bytes", "element_sparsity")
    late = ("eligible", "action", "reason", "latency_ms", "latency_share")
    predicted = ("predicted_sparse_ms", "predicted_at_sparsity")
    rounded = ("dtype", "dtype_reason", "int8_error", "predicted_int8_ms")
    writer.writerow(
        [
            "weight",
            "n",
            "k",
            *plain,
            *(f"block_sparsity_{b}" for b in blocks),
            *late,
            *predicted,
            *rounded,
        ]
    )
    for layer in analysis.layers:
        writer.writerow(
            [
                layer.weight,
                *layer.shape,
                *(getattr(layer, name) for name in plain),
                *(layer.block_sparsities.get(block) for block in blocks),
                *(getattr(layer, name) for name in (*late, *predicted, *rounded)),
            ]
        )
    return stream.getvalue()


def _describe_prediction(analysis: Analysis) -> str:
    layers = [layer for layer in analysis.layers if layer.predicted_sparse_ms is not None]
    sparse_ms = sum(layer.predicted_sparse_ms or 0.0 for layer in layers)
    assumed = [layer.predicted_at_sparsity or 0.0 for layer in layers]
    ends = dict.fromkeys(f"{end:.1%}" for end in (min(assumed), max(assumed)))
    span = " to ".join(ends)
    line = (
        f"predicted at {span} zero blocks of {block_name(analysis.block_shape)}"
        f"{f' in {analysis.scheme}' * _is_sparse_rounded(analysis)}: "
        f"the times of {counted(len(layers), 'eligible layer')} add up to {_number(sparse_ms)} ms"
    )
    if analysis.latency_ms is not None and analysis.predicted_latency_ms is not None:
        dense_ms = sum(layer.latency_ms or 0.0 for layer in layers)
        line += (
            f" instead of {_number(dense_ms)} ms, the model "
            f"{_number(analysis.predicted_latency_ms)} ms instead of "
            f"{_number(analysis.latency_ms)} ms "
            f"({analysis.latency_ms / analysis.predicted_latency_ms:.2f}x)"
        )
    return line


def _describe_rounding(analysis: Analysis) -> str:
    layers = [layer for layer in analysis.layers if layer.predicted_int8_ms is not None]
    errors = [layer.int8_error for layer in layers if layer.int8_error is not None]
    line = f"predicted dense in {analysis.scheme}: {counted(len(layers), 'layer')}"
    if errors:
        line += f", whose outputs are off by {min(errors):.2%} to {max(errors):.2%} (relative L2),"
    line += f" {_number(analysis.totals.predicted_int8_ms)} ms"
    if analysis.latency_ms is not None and analysis.predicted_int8_latency_ms is not None:
        line += (
            f", the model {_number(analysis.predicted_int8_latency_ms)} ms instead of "
            f"{_number(analysis.latency_ms)} ms "
            f"({analysis.latency_ms / analysis.predicted_int8_latency_ms:.2f}x)"
        )
    return line


def _row(layer: LayerAnalysis, prefix: str, blocks: list[str]) -> list[str | Text]:
    return [
        Text(layer.weight.removeprefix(prefix).removesuffix("/kernel")),
        "x".join(map(str, layer.shape)),
        _mega(layer.flops),
        _count(layer.num_params),
        *(_share(layer.block_sparsities.get(block)) for block in blocks),
    ]


def _verdict(layer: LayerAnalysis, rounded: bool) -> Text:
    """Return how a layer runs, or would, and why."""
    style = "green" if layer.action == "sparse" else ""
    # The block sparsity itself stands in a column of its own.
    reason = re.sub(r"^block sparsity \S+ (is )?", "", layer.reason)
    parts = [f": {reason}"]
    if rounded:
        parts.append(f"; {layer.dtype}" + f": {layer.dtype_reason}" * bool(layer.dtype_reason))
    return Text.assemble((layer.action, style), *parts)


def _common_path(weights: list[str]) -> str:
    """Return the path that all names begin with, to leave it out: `bert/`."""
    prefix = os.path.commonpath(weights) if len(weights) > 1 else ""
    return f"{prefix}/" if prefix else ""


def _blocks(analysis: Analysis) -> list[str]:
    """Return every block shape whose zeros are known of some layer, in the layers' order."""
    return list(dict.fromkeys(b for layer in analysis.layers for b in layer.block_sparsities))


def _total_zeros(analysis: Analysis, blocks: list[str]) -> list[str]:
    """Return the share of zero blocks over the layers that have blocks of each shape."""
    cells = []
    for block in blocks:
        known = [
            (zeros, layer.num_params)
            for layer in analysis.layers
            if (zeros := layer.block_sparsities.get(block)) is not None
        ]
        # All blocks of one shape hold equally many weights, so weights may stand for blocks.
        total = sum(size for _, size in known)
        cells.append(_share(sum(z * size for z, size in known) / total if total else None))
    return cells


def _is_sparse_rounded(analysis: Analysis) -> bool:
    if not analysis.scheme:
        return False
    return rounds_blocks(build_of(True, analysis.scheme), analysis.block_shape)


def _error(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.2%}"


def _share(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:.2f}" if value >= 10 else f"{value:.3f}"


def _mega(flops: int) -> str:
    return f"{flops / 1e6:.1f}"


def _count(value: int) -> str:
    if value < 1_000_000:
        return f"{value / 1e3:.1f} k"
    return f"{value / 1e6:.2f} M"
