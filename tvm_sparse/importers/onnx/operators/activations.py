"""Activations and softmax."""

from __future__ import annotations

import math

import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.onnx.operators.operator import (
    Convert,
    RelaxOp,
)
from tvm_sparse.importers.onnx.program import OnnxNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    shape_of,
)

op = relax.op
#: From this version on softmax is over one axis, before over all from one on.
_OVER_ONE_AXIS = 13


def _activation(relax_op: RelaxOp) -> Convert:
    return lambda emit, node, x: emit(relax_op(as_expr(x)))


def _gelu(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    is_exact = node.attributes.get("approximate", "none") == "none"
    return emit((op.nn.gelu if is_exact else op.nn.gelu_tanh)(as_expr(x)))


def _biased(relax_op: RelaxOp) -> Convert:
    """Return the converter of a function of a tensor and a bias that may be added to it."""

    def convert(emit: Emitter, node: OnnxNode, x: Value, bias: Value | None = None) -> tvm.ir.Expr:
        data = as_expr(x)
        return emit(relax_op(data if bias is None else emit(op.add(data, as_expr(bias)))))

    return convert


def _scaled_gate(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    """Return x * sigmoid(alpha * x)."""
    data = as_expr(x)
    alpha = node.attributes.get("alpha", 1.0 if node.op == "Swish" else 1.702)
    if alpha == 1:
        return emit(op.nn.silu(data))
    gate = emit(op.sigmoid(emit(op.multiply(data, relax.const(float(alpha))))))
    return emit(op.multiply(data, gate))


def _hard_sigmoid(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    return _line(emit, x, node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5))


def _line(emit: Emitter, x: Value, slope: float, shift: float) -> tvm.ir.Expr:
    """Return slope * x + shift between 0 and 1."""
    scaled = emit(op.multiply(as_expr(x), relax.const(float(slope))))
    return emit(op.clip(emit(op.add(scaled, relax.const(float(shift)))), 0, 1))


def _hard_swish(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    return emit(op.multiply(as_expr(x), _line(emit, x, 1 / 6, 0.5)))


def _leaky_relu(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    return emit(op.nn.leakyrelu(as_expr(x), node.attributes.get("alpha", 0.01)))


def _softmax(relax_op: RelaxOp) -> Convert:
    def convert(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
        shape = shape_of(x)
        is_new = node.version >= _OVER_ONE_AXIS
        at = axis(node.attributes.get("axis", -1 if is_new else 1), len(shape))
        if is_new or at == len(shape) - 1:
            return emit(relax_op(as_expr(x), at))
        rows = emit(op.reshape(as_expr(x), (math.prod(shape[:at]), math.prod(shape[at:]))))
        return emit(op.reshape(emit(relax_op(rows, 1)), shape))

    return convert


OPERATORS: dict[str, Convert] = {
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _softmax(op.nn.log_softmax),
    "Relu": _activation(op.nn.relu),
    "Softmax": _softmax(op.nn.softmax),
    "Softplus": _activation(op.nn.softplus),
    "Swish": _scaled_gate,
    "com.microsoft:BiasGelu": _biased(op.nn.gelu),
    "com.microsoft:FastGelu": _biased(op.nn.gelu_tanh),
    "com.microsoft:Gelu": _activation(op.nn.gelu),
    "com.microsoft:QuickGelu": _scaled_gate,
}
