"""Batch normalisation, and Keras' use of it for layer normalisation."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    scalar,
    shape_of,
)

op = relax.op


def _emit_batch_norm(
    emit: Emitter, node: Node, x: Value, gamma: Value, beta: Value, mean: Value, variance: Value
) -> list[tvm.ir.Expr]:
    axis = str(node.attrs.get("data_format", "NHWC")).index("C")
    epsilon = float(node.attrs.get("epsilon", 1e-4))
    if node.attrs.get("is_training", True):
        return [_emit_batch_statistics(emit, x, gamma, beta, axis, epsilon)]
    operands = map(as_expr, (x, gamma, beta, mean, variance))
    normalized = emit(op.nn.batch_norm(*operands, axis, epsilon, training=False))
    return [emit(relax.TupleGetItem(normalized, 0))]


def _emit_batch_statistics(
    emit: Emitter, x: Value, gamma: Value, beta: Value, axis: int, epsilon: float
) -> tvm.ir.Expr:
    """Normalise by the batch's own mean and variance.

    An inference graph does so where Keras writes layer normalisation as a batch normalisation
    over a reshaped tensor, with a scale of ones and an offset of zeros, which are left out here.
    """
    data, rank = as_expr(x), len(shape_of(x))
    others = [i for i in range(rank) if i != axis]
    per_channel = [-1 if i == axis else 1 for i in range(rank)]
    centered = emit(op.subtract(data, emit(op.mean(data, others, True))))
    variance = emit(op.mean(emit(op.multiply(centered, centered)), others, True))
    inverse = emit(op.rsqrt(emit(op.add(variance, scalar(epsilon, x)))))
    out = emit(op.multiply(centered, inverse))
    if not (isinstance(gamma, np.ndarray) and np.all(gamma == 1)):
        out = emit(op.multiply(out, emit(op.reshape(as_expr(gamma), per_channel))))
    if not (isinstance(beta, np.ndarray) and np.all(beta == 0)):
        out = emit(op.add(out, emit(op.reshape(as_expr(beta), per_channel))))
    return out


_NOTE = "first output; with is_training the batch's own statistics"

CONVERTERS: dict[str, Converter] = {
    "FusedBatchNorm": Converter(_emit_batch_norm, note=_NOTE),
    "FusedBatchNormV2": Converter(_emit_batch_norm, note=_NOTE),
    "FusedBatchNormV3": Converter(_emit_batch_norm, note=_NOTE),
}
