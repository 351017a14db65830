"""Comparisons, logic and selection."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.positions import Positions
from tvm_sparse.importers.torch.operators.operator import (
    Emit,
    Fold,
    Operator,
    everywhere,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    LOWEST,
    Value,
    as_expr,
    cast,
    common,
    narrow,
    shape_of,
)

op = relax.op


def _comparison(relax_op: Emit, numpy_op: Fold) -> Operator:
    def emit_comparison(emit: Emitter, node: AtenNode, x: Any, other: Any) -> tvm.ir.Expr:
        dtype = common(x, other)
        return emit(relax_op(cast(emit, x, dtype), cast(emit, other, dtype)))

    return Operator(
        emit_comparison, lambda node, x, other: np.asarray(numpy_op(x, other)), everywhere
    )


def _logic(relax_op: Emit, numpy_op: Fold, neutral: bool) -> Operator:
    """Return an operator that leaves a mask as it is where the other one is all `neutral`."""

    def emit_logic(emit: Emitter, node: AtenNode, x: Value, other: Value) -> tvm.ir.Expr:
        for known, mask in ((x, other), (other, x)):
            array = known.array if isinstance(known, Positions) else known
            if isinstance(array, np.ndarray) and bool((array == neutral).all()):
                whole = cast(emit, mask, "bool")
                same = shape_of(mask) == node.shape
                return whole if same else emit(op.broadcast_to(whole, node.shape))
        return emit(relax_op(cast(emit, x, "bool"), cast(emit, other, "bool")))

    return Operator(emit_logic, lambda node, x, other: np.asarray(numpy_op(x, other)), everywhere)


def _emit_not(emit: Emitter, node: AtenNode, x: Value) -> tvm.ir.Expr:
    return emit(op.logical_not(cast(emit, x, "bool")))


def _emit_where(emit: Emitter, node: AtenNode, condition: Value, x: Any, other: Any) -> tvm.ir.Expr:
    dtype = narrow(node.dtype)
    return emit(op.where(as_expr(condition), _finite(emit, x, dtype), _finite(emit, other, dtype)))


def _emit_masked_fill(
    emit: Emitter, node: AtenNode, x: Value, mask: Value, value: Any
) -> tvm.ir.Expr:
    return _emit_where(emit, node, mask, value, x)


def _finite(emit: Emitter, value: Any, dtype: str) -> tvm.ir.Expr:
    """Return a value with the lowest number for minus infinity, which only masks have."""
    if isinstance(value, float):
        value = max(value, LOWEST)
    return cast(emit, value, dtype)


def _fold_where(node: AtenNode, condition: Any, x: Any, other: Any) -> np.ndarray:
    return np.where(condition, x, other).astype(node.dtype)


_AND = _logic(op.logical_and, np.logical_and, neutral=True)
_OR = _logic(op.logical_or, np.logical_or, neutral=False)
_NOT = Operator(_emit_not, lambda node, x: np.logical_not(x), everywhere)
_COMPARISONS = {
    "eq": (op.equal, np.equal),
    "ge": (op.greater_equal, np.greater_equal),
    "gt": (op.greater, np.greater),
    "le": (op.less_equal, np.less_equal),
    "lt": (op.less, np.less),
    "ne": (op.not_equal, np.not_equal),
}
_WHERE = Operator(_emit_where, _fold_where, everywhere)
_MASKED_FILL = Operator(
    _emit_masked_fill, lambda node, x, mask, value: _fold_where(node, mask, value, x), everywhere
)
OPERATORS: dict[str, Operator] = {
    **{
        f"{name}.{overload}": _comparison(*pair)
        for name, pair in _COMPARISONS.items()
        for overload in ("Tensor", "Scalar")
    },
    "__and__.Tensor": _AND,
    "__or__.Tensor": _OR,
    "bitwise_and.Tensor": _AND,
    "bitwise_not.default": _NOT,
    "bitwise_or.Tensor": _OR,
    "logical_and.default": _AND,
    "logical_not.default": _NOT,
    "logical_or.default": _OR,
    "masked_fill.Scalar": _MASKED_FILL,
    "masked_fill.Tensor": _MASKED_FILL,
    "where.Scalar": _WHERE,
    "where.ScalarOther": _WHERE,
    "where.ScalarSelf": _WHERE,
    "where.self": _WHERE,
}
