"""Normalisation: layer norm and RMS norm stay whole, batch norm becomes a scale and a shift."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.torch.operators.operator import (
    Operator,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    shape_of,
)

op = relax.op
_EPSILON = float(np.finfo("float32").eps)


def _emit_layer_norm(
    emit: Emitter,
    node: AtenNode,
    x: Value,
    normalized_shape: list[int],
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
    **_: Any,
) -> tvm.ir.Expr:
    gamma = _or_filled(weight, normalized_shape, 1)
    beta = _or_filled(bias, normalized_shape, 0)
    over = list(range(-len(normalized_shape), 0))
    return emit(op.nn.layer_norm(as_expr(x), gamma, beta, axes=over, epsilon=eps))


def _emit_rms_norm(
    emit: Emitter,
    node: AtenNode,
    x: Value,
    normalized_shape: list[int],
    weight: Value | None = None,
    eps: float | None = None,
) -> tvm.ir.Expr:
    gamma = _or_filled(weight, normalized_shape, 1)
    over = list(range(-len(normalized_shape), 0))
    epsilon = _EPSILON if eps is None else eps
    return emit(op.nn.rms_norm(as_expr(x), gamma, axes=over, epsilon=epsilon))


def _or_filled(weight: Value | None, shape: list[int], number: float) -> tvm.ir.Expr:
    return as_expr(np.full(shape, number, "float32") if weight is None else weight)


def _emit_batch_norm(
    emit: Emitter,
    node: AtenNode,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value,
    running_var: Value,
    eps: float,
    **_: Any,
) -> tvm.ir.Expr:
    """Emit x * gain + shift, with what PyTorch computed of whole data sets."""
    shape = (1, -1) + (1,) * (len(shape_of(x)) - 2)
    root = emit(op.sqrt(emit(op.add(as_expr(running_var), relax.const(eps)))))
    gain = emit(op.divide(_or_filled(weight, list(shape_of(running_var)), 1), root))
    moved = emit(op.multiply(as_expr(running_mean), gain))
    beta = _or_filled(bias, list(shape_of(running_var)), 0)
    shift = emit(op.subtract(beta, moved))
    scaled = emit(op.multiply(as_expr(x), emit(op.reshape(gain, shape))))
    return emit(op.add(scaled, emit(op.reshape(shift, shape))))


def _emit_batch_norm_legit(emit: Emitter, node: AtenNode, **arguments: Any) -> list[Any]:
    return [_emit_batch_norm(emit, node, **arguments), None, None]


def _emit_group_norm(
    emit: Emitter,
    node: AtenNode,
    x: Value,
    num_groups: int,
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
    **_: Any,
) -> tvm.ir.Expr:
    channels = [shape_of(x)[1]]
    gamma, beta = _or_filled(weight, channels, 1), _or_filled(bias, channels, 0)
    over = list(range(2, len(shape_of(x))))
    return emit(
        op.nn.group_norm(
            as_expr(x), gamma, beta, num_groups, channel_axis=1, axes=over, epsilon=eps
        )
    )


OPERATORS: dict[str, Operator] = {
    "_native_batch_norm_legit_no_training.default": Operator(_emit_batch_norm_legit),
    "batch_norm.default": Operator(_emit_batch_norm),
    "group_norm.default": Operator(_emit_group_norm),
    "layer_norm.default": Operator(_emit_layer_norm),
    "rms_norm.default": Operator(_emit_rms_norm),
}
