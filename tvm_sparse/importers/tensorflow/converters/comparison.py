"""Comparisons, logic and selection."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

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
    "Equal": binary(op.equal, np.equal),
    "Greater": binary(op.greater, np.greater),
    "GreaterEqual": binary(op.greater_equal, np.greater_equal),
    "IsFinite": unary(op.isfinite, np.isfinite),
    "IsInf": unary(op.isinf, np.isinf),
    "IsNan": unary(op.isnan, np.isnan),
    "Less": binary(op.less, np.less),
    "LessEqual": binary(op.less_equal, np.less_equal),
    "LogicalAnd": binary(op.logical_and, np.logical_and),
    "LogicalNot": unary(op.logical_not, np.logical_not),
    "LogicalOr": binary(op.logical_or, np.logical_or),
    "NotEqual": binary(op.not_equal, np.not_equal),
    "Select": Converter(_emit_select, _fold_select),
    "SelectV2": Converter(_emit_select, _fold_select),
}
