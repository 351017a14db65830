"""Slices, what is written into them, splits, padding and shifts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.positions import cut
from tvm_sparse.importers.torch.operators.operator import (
    Operator,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    cast,
    narrow,
    shape_of,
)
from tvm_sparse.ir.dims import Dim

op = relax.op


def _cut(emit: Emitter, x: Value, dim: int, where: slice) -> Value:
    """Return the slice of one axis."""
    return cut(emit, x, axis(dim, len(shape_of(x))), where)


def _slice(
    emit: Emitter,
    node: AtenNode,
    x: Value,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Value:
    return _cut(emit, x, dim, slice(start, end, step))


def _select(emit: Emitter, node: AtenNode, x: Value, dim: int, index: int) -> Value:
    row = _cut(emit, x, dim, slice(index, index + 1 or None))
    return _reshaped(emit, row, node.shape)


def _narrow(emit: Emitter, node: AtenNode, x: Value, dim: int, start: int, length: int) -> Value:
    return _cut(emit, x, dim, slice(start, start + length))


def _reshaped(emit: Emitter, x: Value, shape: Sequence[Dim]) -> Value:
    if isinstance(x, np.ndarray):
        return x.reshape(shape)
    return emit(op.reshape(as_expr(x), shape))


def _parts(emit: Emitter, x: Value, dim: int, sizes: Sequence[int]) -> list[Value]:
    ends = np.cumsum(sizes).tolist()
    return [
        _cut(emit, x, dim, slice(end - size, end)) for end, size in zip(ends, sizes, strict=True)
    ]


def _split(emit: Emitter, node: AtenNode, x: Value, split_size: int, dim: int = 0) -> list[Value]:
    extent = shape_of(x)[axis(dim, len(shape_of(x)))]
    starts = range(0, extent, split_size)
    return _parts(emit, x, dim, [min(split_size, extent - start) for start in starts])


def _split_with_sizes(
    emit: Emitter, node: AtenNode, x: Value, split_sizes: list[int], dim: int = 0
) -> list[Value]:
    return _parts(emit, x, dim, split_sizes)


def _chunk(emit: Emitter, node: AtenNode, x: Value, chunks: int, dim: int = 0) -> list[Value]:
    extent = shape_of(x)[axis(dim, len(shape_of(x)))]
    return _split(emit, node, x, -(-extent // chunks), dim)


def _unbind(emit: Emitter, node: AtenNode, x: Value, dim: int = 0) -> list[Value]:
    shape = list(shape_of(x))
    count = shape.pop(axis(dim, len(shape)))
    return [_reshaped(emit, part, shape) for part in _parts(emit, x, dim, [1] * count)]


def _roll(
    emit: Emitter, node: AtenNode, x: Value, shifts: list[int], dims: list[int] | None = None
) -> Value:
    if not dims:
        raise node.error("no dims given: shifts of flattened tensors are not imported")
    for shift, dim in zip(shifts, dims, strict=True):
        place = axis(dim, len(shape_of(x)))
        extent = shape_of(x)[place]
        if shift % extent:
            first, last = _parts(emit, x, place, [extent - shift % extent, shift % extent])
            joined = [as_expr(last), as_expr(first)]
            x = emit(op.concat(joined, place))
    return x


def _slice_scatter(
    emit: Emitter,
    node: AtenNode,
    x: Value,
    src: Value,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> tvm.ir.Expr:
    """Put `src` in the place of a range of an axis."""
    place, extent = axis(dim, len(shape_of(x))), shape_of(x)[dim]
    first, last, by = slice(start, end, step).indices(extent)
    if by != 1:
        raise node.error(f"step {step} given: only 1 is imported")
    parts = [_cut(emit, x, place, slice(0, first)), src, _cut(emit, x, place, slice(last, extent))]
    kept = [as_expr(part) for part in parts if shape_of(part)[place]]
    return emit(op.concat(kept, place)) if len(kept) > 1 else kept[0]


def _fold_slice_scatter(
    node: AtenNode,
    x: np.ndarray,
    src: np.ndarray,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> np.ndarray:
    result = x.copy()
    result[(slice(None),) * axis(dim, x.ndim) + (slice(start, end, step),)] = src
    return result


def _copy(emit: Emitter, node: AtenNode, x: Value, src: Value, **_: Any) -> tvm.ir.Expr:
    """Emit `src` with the shape and dtype of what it is written over."""
    value = cast(emit, src, narrow(node.dtype))
    return value if shape_of(value) == node.shape else emit(op.broadcast_to(value, node.shape))


def _fold_copy(node: AtenNode, x: np.ndarray, src: np.ndarray, **_: Any) -> np.ndarray:
    return np.broadcast_to(src, node.shape).astype(node.dtype)


def _pad(
    emit: Emitter,
    node: AtenNode,
    x: Value,
    pad: list[int],
    value: Any = None,
    mode: str = "constant",
) -> tvm.ir.Expr:
    if mode != "constant":
        raise node.error(f"mode {mode} given: only constant padding is imported")
    if min(pad) < 0:
        raise node.error(f"padding {pad} given: cutting off is not imported")
    rank = len(shape_of(x))
    width = [0] * (2 * rank)
    for i in range(len(pad) // 2):  # from the last axis on
        width[2 * (rank - 1 - i) : 2 * (rank - i)] = pad[2 * i : 2 * i + 2]
    return emit(op.nn.pad(as_expr(x), width, "constant", float(value or 0)))


OPERATORS: dict[str, Operator] = {
    "chunk.default": Operator(_chunk),
    "constant_pad_nd.default": Operator(_pad),
    "copy.default": Operator(_copy, _fold_copy),
    "narrow.default": Operator(_narrow),
    "pad.default": Operator(_pad),
    "roll.default": Operator(_roll, lambda node, x, shifts, dims=None: np.roll(x, shifts, dims)),
    "select.int": Operator(_select),
    "slice.Tensor": Operator(_slice),
    "slice_scatter.default": Operator(_slice_scatter, _fold_slice_scatter),
    "split.Tensor": Operator(_split),
    "split.sizes": Operator(
        lambda emit, node, x, split_size, dim=0: _parts(emit, x, dim, split_size)
    ),
    "split_with_sizes.default": Operator(_split_with_sizes),
    "unbind.int": Operator(_unbind),
}
