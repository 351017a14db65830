"""Slices and padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.tensorflow.converters.extents import is_open
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


def _picked(emit: Emitter, part: slice, extent: Dim) -> tuple[Dim, Dim, int]:
    """Return first place, number of places and step of a slice along an axis.

    Raises
    ------
    ValueError
        They depend on how large the batch or the length is.
    """
    start, stop, step = part.start, part.stop, 1 if part.step is None else part.step
    if all(v is None or isinstance(v, int) for v in (start, stop, step, extent)):
        picked = range(*part.indices(extent))
        return picked.start, len(picked), picked.step
    first, last = (
        default if bound is None else dim(extent + bound) if _is_negative(bound) else bound
        for bound, default in ((start, 0), (stop, extent))
    )
    ordered = all(emit.limits.at_most(*p) for p in ((0, first), (first, last), (last, extent)))
    if step != 1 or not ordered:
        raise ValueError(f"[{first}:{last}:{step}] of {extent} given")
    return first, dim(last - first), step


def _is_negative(bound: Dim) -> bool:
    return isinstance(bound, int) and bound < 0


def _emit_sliced(emit: Emitter, x: tvm.ir.Expr, slices: list[slice]) -> tvm.ir.Expr:
    axes, begins, ends, strides = [], [], [], []
    for axis, (part, extent) in enumerate(zip(slices, shape_of(x), strict=True)):
        start, count, step = _picked(emit, part, extent)
        if (start, count, step) == (0, extent, 1):
            continue
        if step < 0:
            # Walking backwards is walking forwards over the flipped axis.
            x = emit(op.flip(x, axis))
            start, step = extent - 1 - start, -step
        axes.append(axis)
        begins.append(start)
        ends.append(dim(start + (count - 1) * step + 1) if count != 0 else start)
        strides.append(step)
    # Where the run decides, Relax needs to be told that the places exist.
    bounds = {"assume_inbound": True} if _is_open(x, begins, ends) else {}
    return emit(op.strided_slice(x, axes, begins, ends, strides, **bounds)) if axes else x


def _is_open(x: tvm.ir.Expr, begins: list[Dim], ends: list[Dim]) -> bool:
    return not all(isinstance(v, int) for v in (*shape_of(x), *begins, *ends))


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
                result.append(_picked(emit, part, extent)[1])
    return (*result, *extents)


def _emit_strided_slice(
    emit: Emitter, node: Node, x: Value, begin: Value, end: Value, strides: Value
) -> tvm.ir.Expr:
    index = _index(node, begin, end, strides)
    shape = _sliced_shape(emit, shape_of(x), index)
    sliced = _emit_sliced(emit, as_expr(x), _per_axis(index, len(shape_of(x))))
    return sliced if shape_of(sliced) == shape else emit(op.reshape(sliced, shape))


def _fold_strided_slice(
    node: Node, x: np.ndarray, begin: np.ndarray, end: np.ndarray, strides: np.ndarray
) -> Any:
    if any(map(is_open, (begin, end, strides))):
        return NotImplemented
    return x[_index(node, begin, end, strides)]


def _slices(node: Node, x: Value, begin: Value, size: Value) -> list[slice]:
    starts, sizes = known_dims(node, begin, "begin"), known_dims(node, size, "size")
    return [
        slice(start, extent if _is_negative(length) else dim(start + length))
        for start, length, extent in zip(starts, sizes, shape_of(x), strict=True)
    ]


def _emit_slice(emit: Emitter, node: Node, x: Value, begin: Value, size: Value) -> tvm.ir.Expr:
    return _emit_sliced(emit, as_expr(x), _slices(node, x, begin, size))


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
            parts.insert(0, emit(op.flip(_emit_sliced(emit, data, everything), axis)))
        if after:
            everything[axis] = slice(extent - skip - after, extent - skip)
            parts.append(emit(op.flip(_emit_sliced(emit, data, everything), axis)))
        data = emit(op.concat(parts, axis)) if len(parts) > 1 else data
    return data


CONVERTERS: dict[str, Converter] = {
    "MirrorPad": Converter(_emit_mirror_pad),
    "Pad": Converter(_emit_pad, _fold_pad),
    "PadV2": Converter(_emit_pad, _fold_pad),
    "Slice": Converter(_emit_slice, _fold_slice),
    "StridedSlice": Converter(_emit_strided_slice, _fold_strided_slice, "all five masks"),
}
