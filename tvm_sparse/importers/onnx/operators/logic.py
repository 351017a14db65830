"""Comparisons, logic and selection."""

from __future__ import annotations

import numpy as np
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
    cast,
    common,
    shape_of,
)

op = relax.op


def _comparison(relax_op: RelaxOp) -> Convert:
    def convert(emit: Emitter, node: OnnxNode, a: Value, b: Value) -> tvm.ir.Expr:
        dtype = common(a, b)
        return emit(relax_op(cast(emit, a, dtype), cast(emit, b, dtype)))

    return convert


def _logic(relax_op: RelaxOp, neutral: bool) -> Convert:
    """Return a converter that leaves a mask as it is where the other one is all `neutral`."""

    def convert(emit: Emitter, node: OnnxNode, a: Value, b: Value) -> tvm.ir.Expr:
        for known, mask in ((a, b), (b, a)):
            if isinstance(known, np.ndarray) and bool((known == neutral).all()):
                shape = np.broadcast_shapes(shape_of(a), shape_of(b))
                whole = cast(emit, mask, "bool")
                same = shape_of(mask) == shape
                return whole if same else emit(op.broadcast_to(whole, shape))
        return emit(relax_op(cast(emit, a, "bool"), cast(emit, b, "bool")))

    return convert


def _not(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    return emit(op.logical_not(cast(emit, x, "bool")))


def _where(emit: Emitter, node: OnnxNode, condition: Value, a: Value, b: Value) -> tvm.ir.Expr:
    """Select; constants have the lowest number for minus infinity, which only masks have."""
    dtype = common(a, b)
    return emit(op.where(cast(emit, condition, "bool"), cast(emit, a, dtype), cast(emit, b, dtype)))


def _is_nan(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    return emit(op.isnan(as_expr(x)))


OPERATORS: dict[str, Convert] = {
    "And": _logic(op.logical_and, neutral=True),
    "Equal": _comparison(op.equal),
    "Greater": _comparison(op.greater),
    "GreaterOrEqual": _comparison(op.greater_equal),
    "IsNaN": _is_nan,
    "Less": _comparison(op.less),
    "LessOrEqual": _comparison(op.less_equal),
    "Not": _not,
    "Or": _logic(op.logical_or, neutral=False),
    "Where": _where,
    "Xor": _comparison(op.logical_xor),
}
