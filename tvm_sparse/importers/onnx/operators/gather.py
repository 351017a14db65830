"""Look-ups by index."""

from __future__ import annotations

import math

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.onnx.operators.operator import (
    Convert,
    RelaxOp,
)
from tvm_sparse.importers.onnx.operators.slicing import cut
from tvm_sparse.importers.onnx.program import OnnxNode
from tvm_sparse.importers.positions import Positions
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    cast,
    from_front,
    shape_of,
)

op = relax.op


def _gather(emit: Emitter, node: OnnxNode, x: Value, indices: Value) -> tvm.ir.Expr:
    """Look up rows; `clip` never reads outside of the table.

    Indices that are not known and not looked up in a weight may count from the end. Ids, and
    positions that are made of them, never do.
    """
    at = axis(node.attributes.get("axis", 0), len(shape_of(x)))
    extent = shape_of(x)[at]
    if isinstance(indices, np.ndarray) and indices.ndim == 0:
        row = cut(emit, x, at, slice(int(indices), int(indices) + 1 or None))
        return emit(op.reshape(row, shape_of(x)[:at] + shape_of(x)[at + 1 :]))
    if isinstance(indices, np.ndarray | Positions):
        indices = from_front(indices, extent)
    elif not _is_weight(x):
        indices = _counted_from_front(emit, indices, extent)
    return emit(op.take(as_expr(x), as_expr(indices), at, mode="clip"))


def _is_weight(x: Value) -> bool:
    return isinstance(x, relax.Var) and not isinstance(x, relax.DataflowVar)


def _counted_from_front(emit: Emitter, indices: Value, extent: int) -> tvm.ir.Expr:
    numbers = cast(emit, indices, "int32")
    is_negative = emit(op.less(numbers, relax.const(0, "int32")))
    return emit(op.where(is_negative, emit(op.add(numbers, relax.const(extent, "int32"))), numbers))


def _gather_elements(emit: Emitter, node: OnnxNode, x: Value, indices: Value) -> tvm.ir.Expr:
    at = axis(node.attributes.get("axis", 0), len(shape_of(x)))
    if isinstance(indices, np.ndarray):
        indices = np.where(indices < 0, indices + shape_of(x)[at], indices)
    else:
        indices = _counted_from_front(emit, indices, shape_of(x)[at])
    return emit(op.gather_elements(as_expr(x), as_expr(indices), at))


def _gather_nd(emit: Emitter, node: OnnxNode, x: Value, indices: Value) -> tvm.ir.Expr:
    batched = node.attributes.get("batch_dims", 0)
    if isinstance(indices, np.ndarray | Positions) and not batched:
        return _elements(emit, node, x, indices)
    return emit(op.gather_nd(as_expr(x), cast(emit, indices, "int64"), batched))


def _elements(
    emit: Emitter, node: OnnxNode, x: Value, indices: np.ndarray | Positions
) -> tvm.ir.Expr:
    """Return parts at known places: a rearrangement that is none costs nothing."""
    whole = indices.whole() if isinstance(indices, Positions) else indices
    depth, outer = whole.shape[-1], indices.shape[:-1]
    shape, rest = emit.limits.largest(shape_of(x)[:depth]), shape_of(x)[depth:]
    wrapped = [from_front(whole[..., at], shape_of(x)[at]) for at in range(depth)]
    places = np.ravel_multi_index(wrapped, shape)
    count = math.prod(shape)
    is_rearranged = places.size != count or (places.reshape(-1) != np.arange(count)).any()
    if not is_rearranged:
        return emit(op.reshape(as_expr(x), (*outer, *rest)))
    if shape != shape_of(x)[:depth] or isinstance(indices, Positions):
        raise node.error("single elements are picked, of a tensor whose extents the run decides")
    rows = emit(op.reshape(as_expr(x), (count, *rest)))
    picked = relax.const(places.reshape(-1).astype(np.int32))
    rows = emit(op.take(rows, picked, 0, mode="clip"))
    return emit(op.reshape(rows, (*places.shape, *rest)))


def _arg(relax_op: RelaxOp) -> Convert:
    def convert(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
        if node.attributes.get("select_last_index"):
            raise node.error("select_last_index 1 given, which is not imported")
        at = axis(node.attributes.get("axis", 0), len(shape_of(x)))
        found = emit(relax_op(as_expr(x), at, bool(node.attributes.get("keepdims", 1))))
        return emit(op.astype(found, "int32"))

    return convert


OPERATORS: dict[str, Convert] = {
    "ArgMax": _arg(op.argmax),
    "ArgMin": _arg(op.argmin),
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
}
