"""Look-ups by index."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.positions import Positions
from tvm_sparse.importers.torch.operators.operator import (
    Operator,
    everywhere,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    from_front,
    narrow,
    shape_of,
)

op = relax.op


def _take(emit: Emitter, x: Value, indices: Value, along: int) -> tvm.ir.Expr:
    """Look up rows; `clip` never reads outside of the table."""
    if isinstance(indices, np.ndarray | Positions):
        indices = from_front(indices, shape_of(x)[along])
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
    axes = list(given)
    known = all(isinstance(index, np.ndarray | Positions) for index in given.values())
    if known and axes == list(range(axes[0], axes[-1] + 1)):
        return _known(emit, node, x, given)
    if axes != list(range(len(axes))):
        raise node.error(f"computed indices at the axes {axes} given: only the first are imported")
    return emit(op.index_tensor(as_expr(x), [as_expr(index) for index in given.values()]))


def _known(
    emit: Emitter, node: AtenNode, x: Value, given: dict[int, np.ndarray | Positions]
) -> tvm.ir.Expr:
    """Look up known places of neighbouring axes: a rearrangement that is none costs nothing."""
    given = {dim: from_front(index, shape_of(x)[dim]) for dim, index in given.items()}
    shape, (first, *_) = emit.limits.largest(shape_of(x)), given
    inner = shape[first : first + len(given)]
    whole = [index.whole() if isinstance(index, Positions) else index for index in given.values()]
    places = np.ravel_multi_index(np.broadcast_arrays(*whole), inner)
    lead, rest = shape[:first], shape[first + len(given) :]
    picked, total = as_expr(x), math.prod(inner)
    if places.size != total or (places.ravel() != np.arange(total)).any():
        if shape != shape_of(x) or not all(isinstance(extent, int) for extent in node.shape):
            raise node.error("elements are picked, of a tensor whose extents the run decides")
        merged = emit(op.reshape(picked, (*lead, total, *rest)))
        picked = _take(emit, merged, places.ravel().astype("int32"), first)
    return emit(op.reshape(picked, node.shape))


def _fold_index(node: AtenNode, x: np.ndarray, indices: list[np.ndarray | None]) -> np.ndarray:
    return x[tuple(slice(None) if index is None else index for index in indices)]


def _counts_from_front(node: AtenNode, x: Value, indices: list[Value | None], **_: Any) -> bool:
    """Say no where an index counts from an end that the run decides about."""
    known = zip(shape_of(x), indices, strict=False)
    return all(
        index is None or isinstance(extent, int) or not bool((_array(index) < 0).any())
        for extent, index in known
    )


def _array(index: Value) -> np.ndarray:
    return index.array if isinstance(index, Positions) else index


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
    "index.Tensor": Operator(_emit_index, _fold_index, _counts_from_front),
    "index_select.default": Operator(
        _emit_index_select, lambda node, x, dim, index: np.take(x, index, dim), everywhere
    ),
}
