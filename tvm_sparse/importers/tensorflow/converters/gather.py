"""Look-ups by index: embeddings, gathers, one-hot."""

from __future__ import annotations

import math

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    constants_only,
    dtype_of,
    known,
    known_ints,
    shape_of,
)

op = relax.op


def _emit_gather(
    emit: Emitter, node: Node, x: Value, indices: Value, axis: Value | None = None
) -> tvm.ir.Expr:
    rank = len(shape_of(x))
    along = 0 if axis is None else int(known(node, axis, "axis").reshape(())) % rank
    batch_dims = int(node.attrs.get("batch_dims", 0))
    if batch_dims < 0:
        batch_dims += len(shape_of(indices))
    # "clip" never reads outside the table; the default mode does for a wrong id.
    if batch_dims == 0:
        return emit(op.take(as_expr(x), as_expr(indices), along, mode="clip"))
    return _emit_batched_gather(emit, node, x, indices, along, batch_dims)


def _emit_batched_gather(
    emit: Emitter, node: Node, x: Value, indices: Value, axis: int, batch_dims: int
) -> tvm.ir.Expr:
    """Gather per batch entry by looking up in one table of all entries."""
    if axis != batch_dims:
        raise node.error(f"axis {axis} with batch_dims {batch_dims} given; they must be equal")
    shape, picks = shape_of(x), shape_of(indices)
    entries, length = math.prod(shape[:batch_dims]), shape[batch_dims]
    table = emit(op.reshape(as_expr(x), (entries * length, *shape[batch_dims + 1 :])))
    flat = emit(op.reshape(as_expr(indices), (entries, -1)))
    offsets = (np.arange(entries) * length).reshape(-1, 1).astype(dtype_of(indices))
    rows = emit(op.take(table, emit(op.add(flat, as_expr(offsets))), 0, mode="clip"))
    return emit(op.reshape(rows, (*picks, *shape[batch_dims + 1 :])))


def _fold_gather(
    node: Node, x: np.ndarray, indices: np.ndarray, axis: np.ndarray | None = None
) -> np.ndarray:
    along = 0 if axis is None else int(axis)
    batch_dims = int(node.attrs.get("batch_dims", 0))
    if batch_dims == 0:
        return np.take(x, indices, along)
    if batch_dims < 0:
        batch_dims += indices.ndim
    entries = np.ndindex(*x.shape[:batch_dims])
    picked = [np.take(x[e], indices[e], along - batch_dims) for e in entries]
    return np.stack(picked).reshape(*x.shape[:batch_dims], *picked[0].shape)


def _emit_gather_nd(emit: Emitter, node: Node, x: Value, indices: Value) -> tvm.ir.Expr:
    """Turn index vectors into numbers of rows of the flattened leading axes."""
    shape, picks = shape_of(x), shape_of(indices)
    depth = picks[-1]
    steps = [math.prod(shape[i + 1 : depth]) for i in range(depth)]
    weights = as_expr(np.asarray(steps, dtype_of(indices)))
    rows = emit(op.sum(emit(op.multiply(as_expr(indices), weights)), [len(picks) - 1]))
    table = emit(op.reshape(as_expr(x), (math.prod(shape[:depth]), *shape[depth:])))
    return emit(op.take(table, rows, 0, mode="clip"))


def _fold_gather_nd(node: Node, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    return x[tuple(np.moveaxis(indices, -1, 0))]


def _emit_one_hot(
    emit: Emitter, node: Node, indices: Value, depth: Value, on: Value, off: Value
) -> tvm.ir.Expr:
    (count,) = known_ints(node, depth, "depth")
    rank = len(shape_of(indices))
    axis = int(node.attrs.get("axis", -1)) % (rank + 1)
    # Comparing with 0..depth-1 also gives TF's all-off row for an index out of range.
    shape = [1] * (rank + 1)
    shape[axis] = count
    places = np.arange(count).astype(dtype_of(indices)).reshape(shape)
    spread = list(shape_of(indices))
    spread.insert(axis, 1)
    hit = emit(op.equal(emit(op.reshape(as_expr(indices), spread)), as_expr(places)))
    return emit(op.where(hit, as_expr(on), as_expr(off)))


def _fold_one_hot(
    node: Node, indices: np.ndarray, depth: np.ndarray, on: np.ndarray, off: np.ndarray
) -> np.ndarray:
    axis = int(node.attrs.get("axis", -1)) % (indices.ndim + 1)
    hit = np.expand_dims(indices, -1) == np.arange(int(depth))
    return np.moveaxis(np.where(hit, on, off), -1, axis)


CONVERTERS: dict[str, Converter] = {
    "Gather": Converter(_emit_gather, _fold_gather),
    "GatherNd": Converter(_emit_gather_nd, _fold_gather_nd),
    "GatherV2": Converter(
        _emit_gather, _fold_gather, "batch_dims when the axis equals it; ids are clipped"
    ),
    "InvertPermutation": constants_only(
        "the permutation depends on the inputs of the model",
        lambda node, x: np.argsort(x).astype(x.dtype),
    ),
    "OneHot": Converter(_emit_one_hot, _fold_one_hot),
    "Where": constants_only(
        "the number of positions depends on the inputs of the model",
        lambda node, x: np.argwhere(x).astype("int64"),
    ),
}
