"""Look-ups by index."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.torch.operators.operator import (
    Operator,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    narrow,
    shape_of,
)

op = relax.op


def _take(emit: Emitter, x: Value, indices: Value, along: int) -> tvm.ir.Expr:
    """Look up rows; `clip` never reads outside of the table."""
    if isinstance(indices, np.ndarray):
        indices = np.where(indices < 0, indices + shape_of(x)[along], indices)
    return emit(op.take(as_expr(x), as_expr(indices), along, mode="clip"))


def _emit_embedding(
    emit: Emitter, node: AtenNode, weight: Value, indices: Value, **_: Any
) -> tvm.ir.Expr:
    return _take(emit, weight, indices, 0)


def _emit_index_select(
    emit: Emitter, node: AtenNode, x: Value, dim: int, index: Value
) -> tvm.ir.Expr:
    return _take(emit, x, index, axis(dim, len(shape_of(x))))


def _emit_index(
    emit: Emitter, node: AtenNode, x: Value, indices: list[Value | None]
) -> tvm.ir.Expr:
    given = {dim: index for dim, index in enumerate(indices) if index is not None}
    if any(str(getattr(index, "dtype", "")) == "bool" for index in given.values()):
        raise node.error("a mask as index given: the number of its results is not known")
    if len(given) == 1:
        ((dim, index),) = given.items()
        return _take(emit, x, index, dim)
    known = all(isinstance(index, np.ndarray) for index in given.values())
    if known and len(given) == len(shape_of(x)):
        return _elements(emit, x, [given[dim] for dim in sorted(given)])
    if list(given) != list(range(len(given))):
        raise node.error(f"indices at the axes {list(given)} given: only the first are imported")
    return emit(op.index_tensor(as_expr(x), [as_expr(given[dim]) for dim in given]))


def _elements(emit: Emitter, x: Value, indices: list[np.ndarray]) -> tvm.ir.Expr:
    """Return elements at known places: a rearrangement that is none costs nothing."""
    shape = shape_of(x)
    wrapped = [index % extent for index, extent in zip(indices, shape, strict=True)]
    places = np.ravel_multi_index(np.broadcast_arrays(*wrapped), shape)
    if places.size == math.prod(shape) and (places.ravel() == np.arange(places.size)).all():
        return emit(op.reshape(as_expr(x), places.shape))
    flat = emit(op.reshape(as_expr(x), (math.prod(shape),)))
    picked = _take(emit, flat, places.ravel().astype("int32"), 0)
    return emit(op.reshape(picked, places.shape))


def _fold_index(node: AtenNode, x: np.ndarray, indices: list[np.ndarray | None]) -> np.ndarray:
    return x[tuple(slice(None) if index is None else index for index in indices)]


def _emit_gather(
    emit: Emitter, node: AtenNode, x: Value, dim: int, index: Value, **_: Any
) -> tvm.ir.Expr:
    return emit(op.gather_elements(as_expr(x), as_expr(index), axis(dim, len(shape_of(x)))))


def _emit_argmax(
    emit: Emitter, node: AtenNode, x: Value, dim: int | None = None, keepdim: bool = False
) -> tvm.ir.Expr:
    place = None if dim is None else axis(dim, len(shape_of(x)))
    found = emit(op.argmax(as_expr(x), place, keepdim))
    return emit(op.astype(found, narrow(node.dtype)))


OPERATORS: dict[str, Operator] = {
    "argmax.default": Operator(_emit_argmax),
    "embedding.default": Operator(_emit_embedding),
    "gather.default": Operator(
        _emit_gather,
        lambda node, x, dim, index, **_: np.take_along_axis(
            x[
                tuple(
                    slice(n) if d != axis(dim, x.ndim) else slice(None)
                    for d, n in enumerate(index.shape)
                )
            ],
            index,
            dim,
        ),
    ),
    "index.Tensor": Operator(_emit_index, _fold_index),
    "index_select.default": Operator(
        _emit_index_select, lambda node, x, dim, index: np.take(x, index, dim)
    ),
}
