"""Activations and the functions they are made of."""

from __future__ import annotations

import math

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.tensorflow.converters.elementwise import unary
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


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-x))).astype(x.dtype)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, np.zeros_like(x))


def _emit_erfc(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    return emit(op.subtract(scalar(1, x), emit(op.erf(as_expr(x)))))


def _emit_softmax(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    softmax = op.nn.softmax if node.op == "Softmax" else op.nn.log_softmax
    return emit(softmax(as_expr(x), axis=len(shape_of(x)) - 1))


def _emit_elu(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    data = as_expr(x)
    # exp sees only the negative part: it would overflow on the branch that is thrown away.
    below = emit(op.exp(emit(op.minimum(data, scalar(0, x)))))
    negative = emit(op.subtract(below, scalar(1, x)))
    return emit(op.where(emit(op.greater(data, scalar(0, x))), data, negative))


def _emit_softplus(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    # max(x, 0) + log(1 + exp(-|x|)) cannot overflow.
    data = as_expr(x)
    tail = emit(op.exp(emit(op.negative(emit(op.abs(data))))))
    tail = emit(op.log(emit(op.add(tail, scalar(1, x)))))
    return emit(op.add(emit(op.maximum(data, scalar(0, x))), tail))


def _emit_softsign(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    data = as_expr(x)
    return emit(op.divide(data, emit(op.add(emit(op.abs(data)), scalar(1, x)))))


def _emit_leaky_relu(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    return emit(op.nn.leakyrelu(as_expr(x), float(node.attrs.get("alpha", 0.2))))


CONVERTERS: dict[str, Converter] = {
    "Elu": Converter(_emit_elu),
    "Erf": unary(op.erf, _erf),
    "Erfc": Converter(_emit_erfc, lambda node, x: (1 - _erf(x)).astype(x.dtype), "as 1 - erf"),
    "LeakyRelu": Converter(_emit_leaky_relu),
    "LogSoftmax": Converter(_emit_softmax),
    "Relu": unary(op.nn.relu, lambda x: np.maximum(x, 0)),
    "Relu6": unary(op.nn.relu6, lambda x: np.clip(x, 0, 6)),
    "Selu": Converter(lambda emit, node, x: emit(op.nn.selu(as_expr(x)))),
    "Sigmoid": unary(op.sigmoid, _sigmoid),
    "Softmax": Converter(_emit_softmax),
    "Softplus": Converter(_emit_softplus, lambda node, x: _softplus(x)),
    "Softsign": Converter(_emit_softsign, lambda node, x: x / (1 + np.abs(x))),
    "Tanh": unary(op.tanh, np.tanh),
}
