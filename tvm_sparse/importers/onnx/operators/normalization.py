"""Normalisation: layer norm and RMS norm stay whole, batch norm becomes a scale and a shift."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.onnx.operators.operator import (
    Convert,
)
from tvm_sparse.importers.onnx.program import OnnxNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    cast,
    shape_of,
)

op = relax.op
#: What ONNX Runtime's own operators take if nobody says.
_EPSILON = 1e-12


def _layer_norm(
    emit: Emitter, node: OnnxNode, x: Value, gain: Value, bias: Value | None = None
) -> tvm.ir.Expr:
    rank = len(shape_of(x))
    over = list(range(axis(node.attributes.get("axis", -1), rank) - rank, 0))
    beta = np.zeros(shape_of(gain), np.float32) if bias is None else bias
    epsilon = node.attributes.get("epsilon", 1e-5)
    return emit(
        op.nn.layer_norm(as_expr(x), as_expr(gain), as_expr(beta), axes=over, epsilon=epsilon)
    )


def _rms_norm(emit: Emitter, node: OnnxNode, x: Value, gain: Value, *_: Any) -> tvm.ir.Expr:
    rank = len(shape_of(x))
    over = list(range(axis(node.attributes.get("axis", -1), rank) - rank, 0))
    epsilon = node.attributes.get("epsilon", 1e-5)
    return emit(op.nn.rms_norm(as_expr(x), as_expr(gain), axes=over, epsilon=epsilon))


def _skip_layer_norm(
    emit: Emitter,
    node: OnnxNode,
    x: Value,
    skip: Value,
    gain: Value,
    bias: Value | None = None,
    before: Value | None = None,
) -> list[Any]:
    """Normalise x + before + skip."""
    total = _summed(emit, x, before, skip)
    return [_of_rows(emit, node, total, gain, bias), None, None, total]


def _skip_rms_norm(
    emit: Emitter,
    node: OnnxNode,
    x: Value,
    skip: Value,
    gain: Value,
    before: Value | None = None,
) -> list[Any]:
    total = _summed(emit, x, before, skip)
    epsilon = node.attributes.get("epsilon", _EPSILON)
    normed = emit(op.nn.rms_norm(total, as_expr(gain), axes=[-1], epsilon=epsilon))
    return [normed, None, None, total]


def _summed(emit: Emitter, x: Value, bias: Value | None, skip: Value) -> tvm.ir.Expr:
    data = as_expr(x) if bias is None else emit(op.add(as_expr(x), as_expr(bias)))
    return emit(op.add(data, as_expr(skip)))


def _of_rows(
    emit: Emitter, node: OnnxNode, x: tvm.ir.Expr, gain: Value, bias: Value | None
) -> tvm.ir.Expr:
    beta = np.zeros(shape_of(gain), np.float32) if bias is None else bias
    epsilon = node.attributes.get("epsilon", _EPSILON)
    return emit(op.nn.layer_norm(x, as_expr(gain), as_expr(beta), axes=[-1], epsilon=epsilon))


def _embed_layer_norm(
    emit: Emitter,
    node: OnnxNode,
    ids: Value,
    segments: Value | None,
    words: Value,
    positions: Value,
    segment_table: Value | None,
    gain: Value,
    bias: Value,
    mask: Value | None = None,
    position_ids: Value | None = None,
) -> list[Any]:
    """Look up and add words, positions and segments, and normalise; count the mask of each row."""

    def look_up(table: Value, indices: Value) -> tvm.ir.Expr:
        return emit(op.take(as_expr(table), cast(emit, indices, "int32"), 0, mode="clip"))

    batch, length = shape_of(ids)
    total = look_up(words, ids)
    if segments is not None and segment_table is not None:
        total = emit(op.add(total, look_up(segment_table, segments)))
    counted = np.arange(length, dtype=np.int32) if position_ids is None else position_ids
    total = emit(op.add(total, look_up(positions, counted)))
    lengths: tvm.ir.Expr = relax.const(np.full(batch, length, np.int32))
    if mask is not None:
        lengths = emit(op.sum(cast(emit, mask, "int32"), [1]))
    return [_of_rows(emit, node, total, gain, bias), lengths, total]


def _batch_norm(
    emit: Emitter,
    node: OnnxNode,
    x: Value,
    gain: Value,
    bias: Value,
    mean: Value,
    variance: Value,
) -> tvm.ir.Expr:
    """Emit x * scale + shift, with what was computed of whole data sets."""
    if node.attributes.get("training_mode"):
        raise node.error("training_mode 1 given, which is not imported")
    epsilon = relax.const(float(node.attributes.get("epsilon", 1e-5)))
    root = emit(op.sqrt(emit(op.add(as_expr(variance), epsilon))))
    scale = emit(op.divide(as_expr(gain), root))
    shift = emit(op.subtract(as_expr(bias), emit(op.multiply(as_expr(mean), scale))))
    shape = (1, -1) + (1,) * (len(shape_of(x)) - 2)
    scaled = emit(op.multiply(as_expr(x), emit(op.reshape(scale, shape))))
    return emit(op.add(scaled, emit(op.reshape(shift, shape))))


def _group_norm(emit: Emitter, node: OnnxNode, x: Value, gain: Value, bias: Value) -> tvm.ir.Expr:
    channels = shape_of(x)[1]
    groups = node.attributes.get("num_groups", channels)  # those of an instance norm
    if shape_of(gain) != (channels,):
        raise node.error("a gain for each group given: one for each channel is imported")
    over, epsilon = list(range(2, len(shape_of(x)))), node.attributes.get("epsilon", 1e-5)
    return emit(
        op.nn.group_norm(
            *(as_expr(x), as_expr(gain), as_expr(bias)),
            groups,
            channel_axis=1,
            axes=over,
            epsilon=epsilon,
        )
    )


OPERATORS: dict[str, Convert] = {
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "SimplifiedLayerNormalization": _rms_norm,
    "com.microsoft:EmbedLayerNormalization": _embed_layer_norm,
    "com.microsoft:SkipLayerNormalization": _skip_layer_norm,
    "com.microsoft:SkipSimplifiedLayerNormalization": _skip_rms_norm,
}
