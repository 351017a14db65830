"""Arithmetic, element by element, and casts."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.torch.operators.operator import (
    Emit,
    Fold,
    Operator,
    everywhere,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Complex,
    Value,
    cast,
    narrow,
)

op = relax.op
_MOST = {"float32": float(np.finfo("float32").max), "int32": (1 << 31) - 1}


def unary(relax_op: Emit, numpy_op: Fold) -> Operator:
    """Return the operator of a function of one tensor; of integers PyTorch makes floats first."""

    def emit_unary(emit: Emitter, node: AtenNode, x: Value) -> tvm.ir.Expr:
        return emit(relax_op(cast(emit, x, narrow(node.dtype))))

    def fold(node: AtenNode, x: np.ndarray) -> np.ndarray:
        return numpy_op(x.astype(node.dtype))

    return Operator(emit_unary, fold, everywhere)


def binary(relax_op: Emit, numpy_op: Fold) -> Operator:
    """Return the operator of a function of two tensors, or of one and a number."""

    def emit_binary(
        emit: Emitter, node: AtenNode, x: Any, other: Any, alpha: float = 1
    ) -> tvm.ir.Expr:
        dtype = narrow(node.dtype)
        if isinstance(other, bool | int | float):
            other = other * alpha
        elif alpha != 1:
            other = emit(op.multiply(cast(emit, other, dtype), relax.const(alpha, dtype)))
        return emit(relax_op(cast(emit, x, dtype), cast(emit, other, dtype)))

    def fold(node: AtenNode, x: Any, other: Any, alpha: float = 1) -> np.ndarray:
        left, right = (np.asarray(value).astype(node.dtype) for value in (x, other))
        return numpy_op(left, right if alpha == 1 else right * np.asarray(alpha, node.dtype))

    return Operator(emit_binary, fold, everywhere)


def _emit_rsub(
    emit: Emitter, node: AtenNode, x: Value, other: Any, alpha: float = 1
) -> tvm.ir.Expr:
    return _SUBTRACT.emit(emit, node, other, x, alpha)


def _emit_pow(emit: Emitter, node: AtenNode, x: Any, exponent: Any) -> tvm.ir.Expr:
    dtype = narrow(node.dtype)
    base = cast(emit, x, dtype)
    if exponent == 2:
        return emit(op.multiply(base, base))
    if exponent == 3:
        return emit(op.multiply(emit(op.multiply(base, base)), base))
    if exponent == 0.5:
        return emit(op.sqrt(base))
    return emit(op.power(base, cast(emit, exponent, dtype)))


def _fold_pow(node: AtenNode, x: Any, exponent: Any) -> np.ndarray:
    base, power = (np.asarray(value).astype(node.dtype) for value in (x, exponent))
    return np.power(base, power)


def _emit_divide(
    emit: Emitter, node: AtenNode, x: Any, other: Any, rounding_mode: str | None = None
) -> tvm.ir.Expr:
    if rounding_mode is None:
        return _DIVIDE.emit(emit, node, x, other)
    if rounding_mode == "floor":
        return _FLOOR_DIVIDE.emit(emit, node, x, other)
    raise node.error(f"rounding_mode {rounding_mode} given: floor and none are imported")


def _fold_divide(
    node: AtenNode, x: Any, other: Any, rounding_mode: str | None = None
) -> np.ndarray:
    if rounding_mode is None:
        return _DIVIDE.fold(node, x, other) if _DIVIDE.fold else NotImplemented
    rounded = {"floor": np.floor, "trunc": np.trunc}[rounding_mode]
    return np.asarray(rounded(np.asarray(x) / np.asarray(other))).astype(node.dtype)


def _emit_clamp(
    emit: Emitter, node: AtenNode, x: Value, min: Any = None, max: Any = None
) -> tvm.ir.Expr:
    dtype = narrow(node.dtype)
    result = cast(emit, x, dtype)
    numbers = [v for v in (min, max) if v is not None and not isinstance(v, int | float)]
    if numbers:  # tensors
        for bound, relax_op in ((min, op.maximum), (max, op.minimum)):
            if bound is not None:
                result = emit(relax_op(result, cast(emit, bound, dtype)))
        return result
    most = _MOST[dtype]
    low = -most if min is None else builtin_max(min, -most)
    return emit(op.clip(result, low, most if max is None else builtin_min(max, most)))


def _fold_clamp(node: AtenNode, x: np.ndarray, min: Any = None, max: Any = None) -> np.ndarray:
    return np.clip(x.astype(node.dtype), min, max).astype(node.dtype)


def _emit_hardtanh(
    emit: Emitter, node: AtenNode, x: Value, min_val: float = -1, max_val: float = 1
) -> tvm.ir.Expr:
    return _emit_clamp(emit, node, x, min_val, max_val)


def _emit_cast(
    emit: Emitter, node: AtenNode, x: Value | Complex, **_: Any
) -> tvm.ir.Expr | Complex:
    if node.dtype == "complex64":
        return x if isinstance(x, Complex) else Complex(cast(emit, x, "float32"))
    return cast(emit, x, narrow(node.dtype))


def _fold_cast(node: AtenNode, x: np.ndarray, **_: Any) -> np.ndarray:
    with np.errstate(all="ignore"):
        return x.astype(node.dtype)


def _erf(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return erf(x)


builtin_min, builtin_max = min, max
_SUBTRACT = binary(op.subtract, np.subtract)
_DIVIDE = binary(op.divide, np.divide)
_FLOOR_DIVIDE = binary(op.floor_divide, np.floor_divide)
_POW = Operator(_emit_pow, _fold_pow, everywhere)
_CAST = Operator(_emit_cast, _fold_cast, everywhere)
_UNARY = {
    "abs": unary(op.abs, np.abs),
    "ceil": unary(op.ceil, np.ceil),
    "cos": unary(op.cos, np.cos),
    "erf": unary(op.erf, _erf),
    "exp": unary(op.exp, np.exp),
    "floor": unary(op.floor, np.floor),
    "log": unary(op.log, np.log),
    "neg": unary(op.negative, np.negative),
    "round": unary(op.round, np.rint),
    "rsqrt": unary(op.rsqrt, lambda x: 1 / np.sqrt(x)),
    "sigmoid": unary(op.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "sign": unary(op.sign, np.sign),
    "sin": unary(op.sin, np.sin),
    "sqrt": unary(op.sqrt, np.sqrt),
    "square": unary(lambda x: op.multiply(x, x), np.square),
    "tanh": unary(op.tanh, np.tanh),
}
_BINARY = {
    "add": binary(op.add, np.add),
    "div": Operator(_emit_divide, _fold_divide, everywhere),
    "mul": binary(op.multiply, np.multiply),
    "fmod": binary(op.mod, np.fmod),
    "remainder": binary(op.floor_mod, np.mod),
    "sub": _SUBTRACT,
}
_AS_THEY_ARE = (
    *("alias.default", "clone.default", "contiguous.default", "detach.default", "detach_.default"),
    *("dropout.default", "lift_fresh_copy.default", "type_as.default"),
    *("_to_copy.default", "to.dtype", "to.dtype_layout", "to.device", "to.other"),
)
OPERATORS: dict[str, Operator] = {
    **{f"{name}.default": operator for name, operator in _UNARY.items()},
    **{
        f"{name}.{overload}": operator
        for name, operator in _BINARY.items()
        for overload in ("Tensor", "Scalar")
    },
    **dict.fromkeys(_AS_THEY_ARE, _CAST),
    "clamp.default": Operator(_emit_clamp, _fold_clamp, everywhere),
    "clamp.Tensor": Operator(_emit_clamp, _fold_clamp, everywhere),
    "clamp_min.default": Operator(_emit_clamp, _fold_clamp, everywhere),
    "clamp_max.default": Operator(_emit_clamp, _fold_clamp, everywhere),
    "div.Tensor_mode": Operator(_emit_divide, _fold_divide, everywhere),
    "div.Scalar_mode": Operator(_emit_divide, _fold_divide, everywhere),
    "floor_divide.default": _FLOOR_DIVIDE,
    "hardtanh.default": Operator(_emit_hardtanh),
    "maximum.default": binary(op.maximum, np.maximum),
    "minimum.default": binary(op.minimum, np.minimum),
    "pow.Scalar": _POW,
    "pow.Tensor_Scalar": _POW,
    "pow.Tensor_Tensor": _POW,
    "reciprocal.default": unary(lambda x: op.divide(relax.const(1.0), x), lambda x: 1 / x),
    "rsub.Scalar": Operator(
        _emit_rsub, lambda node, x, other, alpha=1: np.asarray(other - alpha * x), everywhere
    ),
    "rsub.Tensor": Operator(
        _emit_rsub, lambda node, x, other, alpha=1: np.asarray(other - alpha * x), everywhere
    ),
}
