"""Element-wise arithmetic and casts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.extents import is_open
from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    dtype_of,
    scalar,
)

op = relax.op


def unary(relax_op: Callable[..., Any], numpy_op: Callable[..., Any], note: str = "") -> Converter:
    """Return the converter of a one-operand op."""
    return Converter(
        lambda emit, node, x: emit(relax_op(as_expr(x))), lambda node, x: numpy_op(x), note
    )


def binary(relax_op: Callable[..., Any], numpy_op: Callable[..., Any], note: str = "") -> Converter:
    """Return the converter of a two-operand op with broadcasting."""
    return Converter(
        lambda emit, node, a, b: emit(relax_op(as_expr(a), as_expr(b))),
        lambda node, a, b: numpy_op(a, b),
        note,
    )


def _emit_add_n(emit: Emitter, node: Node, *values: Value) -> tvm.ir.Expr:
    total = as_expr(values[0])
    for value in values[1:]:
        total = emit(op.add(total, as_expr(value)))
    return total


def _emit_bias_add(emit: Emitter, node: Node, data: Value, bias: Value) -> tvm.ir.Expr:
    expr, b = as_expr(data), as_expr(bias)
    if node.attrs.get("data_format", "NHWC") == "NCHW":
        rank = len(expr.ty.shape.values)
        b = emit(op.reshape(b, (1, -1, *[1] * (rank - 2))))
    return emit(op.add(expr, b))


def _emit_squared_difference(emit: Emitter, node: Node, a: Value, b: Value) -> tvm.ir.Expr:
    difference = emit(op.subtract(as_expr(a), as_expr(b)))
    return emit(op.multiply(difference, difference))


def _emit_no_nan(emit: Emitter, node: Node, a: Value, b: Value) -> tvm.ir.Expr:
    # Both branches of a `where` are evaluated: divide by one where the divisor is zero.
    zero = emit(op.equal(as_expr(b), scalar(0, b)))
    quotient = emit(op.divide(as_expr(a), emit(op.where(zero, scalar(1, b), as_expr(b)))))
    return emit(op.where(zero, scalar(0, a), quotient))


def _truncated(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.trunc(np.true_divide(a, b)).astype(a.dtype)


def _emit_log1p(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    return emit(op.log(emit(op.add(as_expr(x), scalar(1, x)))))


def _emit_expm1(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    return emit(op.subtract(emit(op.exp(as_expr(x))), scalar(1, x)))


def _emit_reciprocal(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    return emit(op.divide(scalar(1, x), as_expr(x)))


def _emit_clip(emit: Emitter, node: Node, x: Value, low: Value, high: Value) -> tvm.ir.Expr:
    return emit(op.minimum(emit(op.maximum(as_expr(x), as_expr(low))), as_expr(high)))


def _emit_cast(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    target = node.attrs["DstT"]
    if dtype_of(x) == target:
        return as_expr(x)
    if target == "bool":
        return emit(op.not_equal(as_expr(x), scalar(0, x)))
    return emit(op.astype(as_expr(x), target))


def _fold_cast(node: Node, x: np.ndarray) -> np.ndarray:
    if is_open(x) and "int" in node.attrs["DstT"]:
        return x
    return x.astype(node.attrs["DstT"])


CONVERTERS: dict[str, Converter] = {
    "Abs": unary(op.abs, np.abs),
    "Add": binary(op.add, np.add),
    "AddN": Converter(_emit_add_n, lambda node, *values: np.asarray(sum(values))),
    "AddV2": binary(op.add, np.add),
    "Atan": unary(op.atan, np.arctan),
    "Atan2": binary(op.atan2, np.arctan2),
    "BiasAdd": Converter(_emit_bias_add),
    "BitwiseAnd": binary(op.bitwise_and, np.bitwise_and),
    "BitwiseOr": binary(op.bitwise_or, np.bitwise_or),
    "BitwiseXor": binary(op.bitwise_xor, np.bitwise_xor),
    "Cast": Converter(_emit_cast, _fold_cast),
    "Ceil": unary(op.ceil, np.ceil),
    "ClipByValue": Converter(_emit_clip, lambda node, x, low, high: np.clip(x, low, high)),
    "Cos": unary(op.cos, np.cos),
    "Div": binary(op.divide, lambda a, b: np.true_divide(a, b).astype(a.dtype)),
    "DivNoNan": Converter(_emit_no_nan),
    "Exp": unary(op.exp, np.exp),
    "Expm1": Converter(_emit_expm1, lambda node, x: np.expm1(x)),
    "Floor": unary(op.floor, np.floor),
    "FloorDiv": binary(op.floor_divide, np.floor_divide),
    "FloorMod": binary(op.floor_mod, np.mod),
    "Inv": Converter(_emit_reciprocal, lambda node, x: np.reciprocal(x)),
    "Log": unary(op.log, np.log),
    "Log1p": Converter(_emit_log1p, lambda node, x: np.log1p(x)),
    "Maximum": binary(op.maximum, np.maximum),
    "Minimum": binary(op.minimum, np.minimum),
    "Mod": binary(op.mod, np.fmod),
    "Mul": binary(op.multiply, np.multiply),
    "Neg": unary(op.negative, np.negative),
    "Pow": binary(op.power, np.power),
    "RealDiv": binary(op.divide, np.true_divide),
    "Reciprocal": Converter(_emit_reciprocal, lambda node, x: np.reciprocal(x)),
    "Rint": unary(op.round, np.rint),
    "Round": unary(op.round, np.rint),
    "Rsqrt": unary(op.rsqrt, lambda x: np.reciprocal(np.sqrt(x))),
    "Sign": unary(op.sign, np.sign),
    "Sin": unary(op.sin, np.sin),
    "Sqrt": unary(op.sqrt, np.sqrt),
    "Square": unary(op.square, np.square),
    "SquaredDifference": Converter(_emit_squared_difference, lambda node, a, b: np.square(a - b)),
    "Sub": binary(op.subtract, np.subtract),
    # Relax's divide on integers truncates, as C does.
    "TruncateDiv": binary(op.divide, _truncated, "integers"),
    "TruncateMod": binary(op.mod, np.fmod),
}
