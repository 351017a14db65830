"""Slices and padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.extents import is_open
from tvm_sparse.importers.slices import is_negative, picked, sliced
from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    known,
    known_dims,
    known_ints,
    shape_of,
)
from tvm_sparse.ir.dims import Dim, dim

op = relax.op


def _index(node: Node, begin: Value, end: Value, strides: Value) -> tuple[Any, ...]:
    """Return the slice as a numpy index; numpy and TF agree on what it means."""
    first, last, step = (
        known_dims(node, v, what)
        for v, what in ((begin, "begin"), (end, "end"), (strides, "strides"))
    )
    masks = {
        name: int(node.attrs.get(f"{name}_mask", 0))
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    index: list[Any] = []
    for i in range(len(first)):
        bit = 1 << i
        if masks["ellipsis"] & bit:
            index.append(Ellipsis)
        elif masks["new_axis"] & bit:
            index.append(None)
        elif masks["shrink_axis"] & bit:
            index.append(first[i])
        else:
            start = None if masks["begin"] & bit else first[i]
            stop = None if masks["end"] & bit else last[i]
            index.append(slice(start, stop, step[i]))
    return tuple(index)


def _per_axis(index: tuple[Any, ...], rank: int) -> list[slice]:
    """Return one slice per axis of the data, axes that come or go left aside."""
    used = sum(part is not None and part is not Ellipsis for part in index)
    slices: list[slice] = []
    for part in index:
        if part is Ellipsis:
            slices += [slice(None)] * (rank - used)
        elif isinstance(part, slice):
            slices.append(part)
        elif part is not None:
            slices.append(slice(part, part + 1 or None))
    return slices + [slice(None)] * (rank - len(slices))


def _sliced_shape(emit: Emitter, shape: tuple[Dim, ...], index: tuple[Any, ...]) -> tuple[Dim, ...]:
    """Return the shape of what an index picks."""
    used = sum(part is not None and part is not Ellipsis for part in index)
    result: list[Dim] = []
    extents = iter(shape)
    for part in index:
        if part is None:
            result.append(1)
        elif part is Ellipsis:
            result += [next(extents) for _ in range(len(shape) - used)]
        else:
            extent = next(extents)
            if isinstance(part, slice):
                result.append(picked(emit, part, extent)[1])
    return (*result, *extents)


def _emit_strided_slice(
    emit: Emitter, node: Node, x: Value, begin: Value, end: Value, strides: Value
) -> tvm.ir.Expr:
    index = _index(node, begin, end, strides)
    shape = _sliced_shape(emit, shape_of(x), index)
    found = sliced(emit, as_expr(x), _per_axis(index, len(shape_of(x))))
    return found if shape_of(found) == shape else emit(op.reshape(found, shape))


def _fold_strided_slice(
    node: Node, x: np.ndarray, begin: np.ndarray, end: np.ndarray, strides: np.ndarray
) -> Any:
    if any(map(is_open, (begin, end, strides))):
        return NotImplemented
    return x[_index(node, begin, end, strides)]


def _slices(node: Node, x: Value, begin: Value, size: Value) -> list[slice]:
    starts, sizes = known_dims(node, begin, "begin"), known_dims(node, size, "size")
    return [
        slice(start, extent if is_negative(length) else dim(start + length))
        for start, length, extent in zip(starts, sizes, shape_of(x), strict=True)
    ]


def _emit_slice(emit: Emitter, node: Node, x: Value, begin: Value, size: Value) -> tvm.ir.Expr:
    return sliced(emit, as_expr(x), _slices(node, x, begin, size))


def _fold_slice(node: Node, x: np.ndarray, begin: np.ndarray, size: np.ndarray) -> Any:
    if is_open(begin) or is_open(size):
        return NotImplemented
    return x[tuple(_slices(node, x, begin, size))]


def _emit_pad(
    emit: Emitter, node: Node, x: Value, paddings: Value, fill: Value | None = None
) -> tvm.ir.Expr:
    widths = known_ints(node, paddings, "paddings")
    number = 0.0 if fill is None else float(known(node, fill, "fill value"))
    return emit(op.nn.pad(as_expr(x), widths, "constant", number))


def _fold_pad(
    node: Node, x: np.ndarray, paddings: np.ndarray, fill: np.ndarray | None = None
) -> np.ndarray:
    return np.pad(x, paddings, constant_values=0 if fill is None else fill.item())


def _emit_mirror_pad(emit: Emitter, node: Node, x: Value, paddings: Value) -> tvm.ir.Expr:
    skip = 1 if node.attrs["mode"] == "REFLECT" else 0
    data = as_expr(x)
    for axis, (before, after) in enumerate(known(node, paddings, "paddings").tolist()):
        extent = shape_of(data)[axis]
        everything = [slice(None)] * len(shape_of(data))
        parts = [data]
        if before:
            everything[axis] = slice(skip, skip + before)
            parts.insert(0, emit(op.flip(sliced(emit, data, everything), axis)))
        if after:
            everything[axis] = slice(extent - skip - after, extent - skip)
            parts.append(emit(op.flip(sliced(emit, data, everything), axis)))
        data = emit(op.concat(parts, axis)) if len(parts) > 1 else data
    return data


CONVERTERS: dict[str, Converter] = {
    "MirrorPad": Converter(_emit_mirror_pad),
    "Pad": Converter(_emit_pad, _fold_pad),
    "PadV2": Converter(_emit_pad, _fold_pad),
    "Slice": Converter(_emit_slice, _fold_slice),
    "StridedSlice": Converter(_emit_strided_slice, _fold_strided_slice, "all five masks"),
}
