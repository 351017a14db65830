"""Arithmetic, element by element, and casts."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.onnx.operators.operator import (
    DTYPES,
    Convert,
    RelaxOp,
    number,
)
from tvm_sparse.importers.onnx.program import OnnxNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    cast,
    common,
    dtype_of,
    narrow,
)

op = relax.op
_MOST = {"float32": float(np.finfo("float32").max), "int32": (1 << 31) - 1}


def _unary(relax_op: RelaxOp) -> Convert:
    return lambda emit, node, x: emit(relax_op(as_expr(x)))


def binary(relax_op: RelaxOp) -> Convert:
    """Return the converter of a function of two tensors or more, computed one after the other."""

    def convert(emit: Emitter, node: OnnxNode, *values: Value) -> tvm.ir.Expr:
        dtype = common(*values)
        exprs = [cast(emit, value, dtype) for value in values]
        return reduce(lambda a, b: emit(relax_op(a, b)), exprs)

    return convert


def _divide(emit: Emitter, node: OnnxNode, a: Value, b: Value) -> tvm.ir.Expr:
    """Divide; of integers, which are sizes and positions, the quotient is rounded down."""
    relax_op = op.divide if common(a, b) == "float32" else op.floor_divide
    return binary(relax_op)(emit, node, a, b)


def _mean(emit: Emitter, node: OnnxNode, *values: Value) -> tvm.ir.Expr:
    return emit(op.divide(binary(op.add)(emit, node, *values), relax.const(float(len(values)))))


def _mod(emit: Emitter, node: OnnxNode, a: Value, b: Value) -> tvm.ir.Expr:
    if node.attributes.get("fmod"):
        raise node.error("fmod 1 given, which is not imported")
    return binary(op.floor_mod)(emit, node, a, b)


def _power(emit: Emitter, node: OnnxNode, x: Value, exponent: Value) -> tvm.ir.Expr:
    base = as_expr(x)
    power = float(exponent.item()) if isinstance(exponent, np.ndarray) and exponent.size == 1 else 0
    if power == 2:
        return emit(op.multiply(base, base))
    if power == 3:
        return emit(op.multiply(emit(op.multiply(base, base)), base))
    if power == 0.5:
        return emit(op.sqrt(base))
    return emit(op.power(base, cast(emit, exponent, str(base.ty.dtype))))


def _reciprocal(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    return emit(op.divide(relax.const(1.0), as_expr(x)))


def _cast(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    dtype = DTYPES.get(node.attributes["to"], f"number {node.attributes['to']}")
    if narrow(dtype) not in ("float32", "int32", "bool"):
        raise node.error(f"a cast to {dtype} given, which is not imported")
    return cast(emit, x, narrow(dtype))


def _cast_like(emit: Emitter, node: OnnxNode, x: Value, other: Value) -> tvm.ir.Expr:
    return cast(emit, x, narrow(dtype_of(other)))


def _clip(
    emit: Emitter, node: OnnxNode, x: Value, low: Value | None = None, high: Value | None = None
) -> tvm.ir.Expr:
    result = as_expr(x)
    most = _MOST[str(result.ty.dtype)]
    bounds: list[float] = []
    for name, value, end in (("min", low, -most), ("max", high, most)):
        given = node.attributes.get(name, end) if value is None else number(node, value, name)
        bounds.append(min(max(given, -most), most))
    return emit(op.clip(result, *bounds))


def _as_it_is(emit: Emitter, node: OnnxNode, x: Value, *_: Any) -> Value:
    return x


OPERATORS: dict[str, Convert] = {
    **{
        name: _unary(relax_op)
        for name, relax_op in {
            "Abs": op.abs,
            "Ceil": op.ceil,
            "Cos": op.cos,
            "Erf": op.erf,
            "Exp": op.exp,
            "Floor": op.floor,
            "Log": op.log,
            "Neg": op.negative,
            "Round": op.round,
            "Sigmoid": op.sigmoid,
            "Sign": op.sign,
            "Sin": op.sin,
            "Sqrt": op.sqrt,
            "Tanh": op.tanh,
        }.items()
    },
    "Add": binary(op.add),
    "Cast": _cast,
    "CastLike": _cast_like,
    "Clip": _clip,
    "Div": _divide,
    "Dropout": _as_it_is,
    "Identity": _as_it_is,
    "Max": binary(op.maximum),
    "Mean": _mean,
    "Min": binary(op.minimum),
    "Mod": _mod,
    "Mul": binary(op.multiply),
    "Pow": _power,
    "Reciprocal": _reciprocal,
    "Sub": binary(op.subtract),
    "Sum": binary(op.add),
}
