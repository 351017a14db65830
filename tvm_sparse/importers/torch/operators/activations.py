"""Activations and softmax: PyTorch's composite operators stay whole."""

from __future__ import annotations

import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.torch.operators.operator import (
    Emit,
    Operator,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    shape_of,
)

op = relax.op


def _activation(relax_op: Emit) -> Operator:
    return Operator(lambda emit, node, x: emit(relax_op(as_expr(x))))


def _emit_gelu(emit: Emitter, node: AtenNode, x: Value, approximate: str = "none") -> tvm.ir.Expr:
    return emit((op.nn.gelu if approximate == "none" else op.nn.gelu_tanh)(as_expr(x)))


def _gate(emit: Emitter, x: Value) -> tvm.ir.Expr:
    """Return min(max(x + 3, 0), 6) / 6."""
    shifted = emit(op.add(as_expr(x), relax.const(3.0)))
    return emit(op.divide(emit(op.clip(shifted, 0, 6)), relax.const(6.0)))


def _emit_hardswish(emit: Emitter, node: AtenNode, x: Value) -> tvm.ir.Expr:
    return emit(op.multiply(as_expr(x), _gate(emit, x)))


def _emit_leaky_relu(
    emit: Emitter, node: AtenNode, x: Value, negative_slope: float = 0.01
) -> tvm.ir.Expr:
    return emit(op.nn.leakyrelu(as_expr(x), negative_slope))


def _softmax(relax_op: Emit) -> Operator:
    def emit_softmax(emit: Emitter, node: AtenNode, x: Value, dim: int, **_: object) -> tvm.ir.Expr:
        return emit(relax_op(as_expr(x), axis(dim, len(shape_of(x)))))

    return Operator(emit_softmax)


OPERATORS: dict[str, Operator] = {
    "_softmax.default": _softmax(op.nn.softmax),
    "gelu.default": Operator(_emit_gelu),
    "hardsigmoid.default": Operator(lambda emit, node, x: _gate(emit, x)),
    "hardswish.default": Operator(_emit_hardswish),
    "leaky_relu.default": Operator(_emit_leaky_relu),
    "log_softmax.int": _softmax(op.nn.log_softmax),
    "relu.default": _activation(op.nn.relu),
    "silu.default": _activation(op.nn.silu),
    "softmax.int": _softmax(op.nn.softmax),
}
