"""Comparisons, logic and selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.extents import is_open, settled
from tvm_sparse.importers.tensorflow.converters.elementwise import binary, unary
from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    shape_of,
)

op = relax.op


def _comparison(relax_op: Callable[..., Any], numpy_op: Callable[..., Any]) -> Converter:
    """Return the converter of a comparison, which of extents needs a difference that is known."""

    def fold_comparison(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if not is_open(a) and not is_open(b):
            return np.asarray(numpy_op(a, b))
        difference = settled(np.subtract(a, b), node.attrs)
        if is_open(difference):
            raise ValueError("the batch or the length of the inputs compared with a number")
        return np.asarray(numpy_op(difference, 0))

    return replace(binary(relax_op, numpy_op), fold=fold_comparison)


def _emit_select(emit: Emitter, node: Node, condition: Value, a: Value, b: Value) -> tvm.ir.Expr:
    mask = as_expr(condition)
    rank = len(shape_of(a))
    if node.op == "Select" and len(shape_of(condition)) == 1 < rank:
        # The old Select takes a vector of conditions for the leading axis.
        mask = emit(op.reshape(mask, (-1, *[1] * (rank - 1))))
    return emit(op.where(mask, as_expr(a), as_expr(b)))


def _fold_select(node: Node, condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if node.op == "Select" and condition.ndim == 1 < a.ndim:
        condition = condition.reshape(-1, *[1] * (a.ndim - 1))
    return np.where(condition, a, b)


CONVERTERS: dict[str, Converter] = {
    "Equal": _comparison(op.equal, np.equal),
    "Greater": _comparison(op.greater, np.greater),
    "GreaterEqual": _comparison(op.greater_equal, np.greater_equal),
    "IsFinite": unary(op.isfinite, np.isfinite),
    "IsInf": unary(op.isinf, np.isinf),
    "IsNan": unary(op.isnan, np.isnan),
    "Less": _comparison(op.less, np.less),
    "LessEqual": _comparison(op.less_equal, np.less_equal),
    "LogicalAnd": binary(op.logical_and, np.logical_and),
    "LogicalNot": unary(op.logical_not, np.logical_not),
    "LogicalOr": binary(op.logical_or, np.logical_or),
    "NotEqual": _comparison(op.not_equal, np.not_equal),
    "Select": Converter(_emit_select, _fold_select),
    "SelectV2": Converter(_emit_select, _fold_select),
}
