"""Reductions and running sums."""

from __future__ import annotations

import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.onnx.operators.operator import (
    Convert,
    RelaxOp,
    axes_of,
    integers,
    option,
)
from tvm_sparse.importers.onnx.program import OnnxNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    shape_of,
)

op = relax.op


def _reduction(relax_op: RelaxOp, of_squares: bool = False, is_root: bool = False) -> Convert:
    """Return the converter of a reduction, of squares and with their root if so."""

    def convert(emit: Emitter, node: OnnxNode, x: Value, axes: Value | None = None) -> tvm.ir.Expr:
        expr, given = as_expr(x), option(node, "axes", axes)
        if not given and node.attributes.get("noop_with_empty_axes"):
            return expr
        over = axes_of(given or None, len(shape_of(x)))
        data = emit(op.multiply(expr, expr)) if of_squares else expr
        result = emit(relax_op(data, over, keepdims=bool(node.attributes.get("keepdims", 1))))
        return emit(op.sqrt(result)) if is_root else result

    return convert


def _absolute_sum(emit: Emitter, node: OnnxNode, x: Value, *axes: Value) -> tvm.ir.Expr:
    return _SUM(emit, node, emit(op.abs(as_expr(x))), *axes)


def _cumulative(emit: Emitter, node: OnnxNode, x: Value, at: Value) -> tvm.ir.Expr:
    if node.attributes.get("reverse"):
        raise node.error("reverse 1 given, which is not imported")
    place = axis(integers(node, at, "axis")[0], len(shape_of(x)))
    expr = as_expr(x)
    exclusive = bool(node.attributes.get("exclusive", 0))
    return emit(op.cumsum(expr, place, str(expr.ty.dtype), exclusive=exclusive))


_SUM = _reduction(op.sum)
OPERATORS: dict[str, Convert] = {
    "CumSum": _cumulative,
    "ReduceL1": _absolute_sum,
    "ReduceL2": _reduction(op.sum, of_squares=True, is_root=True),
    "ReduceMax": _reduction(op.max),
    "ReduceMean": _reduction(op.mean),
    "ReduceMin": _reduction(op.min),
    "ReduceProd": _reduction(op.prod),
    "ReduceSum": _SUM,
    "ReduceSumSquare": _reduction(op.sum, of_squares=True),
}
