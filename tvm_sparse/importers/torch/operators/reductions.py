"""Reductions and running sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.torch.operators.operator import (
    Emit,
    Fold,
    Operator,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axes,
    axis,
    cast,
    narrow,
    shape_of,
)

op = relax.op


def _reduction(relax_op: Emit, numpy_op: Fold) -> Operator:
    def emit_reduction(
        emit: Emitter, node: AtenNode, x: Value, dim: Any = None, keepdim: bool = False, **_: Any
    ) -> tvm.ir.Expr:
        over = axes(dim, len(shape_of(x)))
        return emit(relax_op(cast(emit, x, narrow(node.dtype)), over, keepdims=keepdim))

    def fold(
        node: AtenNode, x: np.ndarray, dim: Any = None, keepdim: bool = False, **_: Any
    ) -> np.ndarray:
        over = tuple(axes(dim, x.ndim))
        return np.asarray(numpy_op(x.astype(node.dtype), axis=over, keepdims=keepdim))

    return Operator(emit_reduction, fold)


def _emit_variance(
    emit: Emitter,
    node: AtenNode,
    x: Value,
    dim: Any = None,
    correction: float | None = 1,
    keepdim: bool = False,
) -> tvm.ir.Expr:
    over = axes(dim, len(shape_of(x)))
    variance = emit(op.variance(as_expr(x), over, keepdims=keepdim))
    count = math.prod(shape_of(x)[one] for one in over)
    lost = 1 if correction is None else correction
    return (
        emit(op.multiply(variance, relax.const(count / (count - lost), narrow(node.dtype))))
        if lost
        else variance
    )


def _emit_deviation(emit: Emitter, node: AtenNode, x: Value, **options: Any) -> tvm.ir.Expr:
    return emit(op.sqrt(_emit_variance(emit, node, x, **options)))


def _emit_norm(
    emit: Emitter,
    node: AtenNode,
    x: Value,
    ord: float = 2,
    dim: Any = None,
    keepdim: bool = False,
    **_: Any,
) -> tvm.ir.Expr:
    if ord != 2:
        raise node.error(f"ord {ord} given: only the Euclidean norm is imported")
    squares = emit(op.multiply(as_expr(x), as_expr(x)))
    return emit(op.sqrt(emit(op.sum(squares, axes(dim, len(shape_of(x))), keepdims=keepdim))))


def _emit_truth(
    emit: Emitter, node: AtenNode, x: Value, dim: Any = None, keepdim: bool = False
) -> tvm.ir.Expr:
    """Any is the largest, all the least of truths."""
    truths = cast(emit, cast(emit, x, "bool"), "int32")
    relax_op = op.max if node.op.startswith("any") else op.min
    return cast(emit, emit(relax_op(truths, axes(dim, len(shape_of(x))), keepdims=keepdim)), "bool")


def _fold_truth(
    node: AtenNode, x: np.ndarray, dim: Any = None, keepdim: bool = False
) -> np.ndarray:
    numpy_op = np.any if node.op.startswith("any") else np.all
    return np.asarray(numpy_op(x, axis=tuple(axes(dim, x.ndim)), keepdims=keepdim))


def _emit_cumsum(emit: Emitter, node: AtenNode, x: Value, dim: int, **_: Any) -> tvm.ir.Expr:
    dtype = narrow(node.dtype)
    return emit(op.cumsum(cast(emit, x, dtype), axis(dim, len(shape_of(x))), dtype))


_MEAN, _SUM = _reduction(op.mean, np.mean), _reduction(op.sum, np.sum)
_TRUTH = Operator(_emit_truth, _fold_truth)
OPERATORS: dict[str, Operator] = {
    "all.default": _TRUTH,
    "all.dim": _TRUTH,
    "amax.default": _reduction(op.max, np.max),
    "amin.default": _reduction(op.min, np.min),
    "any.default": _TRUTH,
    "any.dim": _TRUTH,
    "any.dims": _TRUTH,
    "cumsum.default": Operator(
        _emit_cumsum,
        lambda node, x, dim, dtype=None: np.cumsum(x, dim).astype(node.dtype),
    ),
    "linalg_vector_norm.default": Operator(_emit_norm),
    "max.default": _reduction(op.max, np.max),
    "mean.default": _MEAN,
    "mean.dim": _MEAN,
    "min.default": _reduction(op.min, np.min),
    "std.correction": Operator(_emit_deviation),
    "sum.default": _SUM,
    "sum.dim_IntList": _SUM,
    "var.correction": Operator(_emit_variance),
}
