"""Slices of tensors whose extents are numbers, or left to the run."""

from __future__ import annotations

import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.extents import Limits
from tvm_sparse.ir.dims import Dim, dim
from tvm_sparse.ir.expressions import tensor_shape

op = relax.op


def picked(emit: Emitter, part: slice, extent: Dim) -> tuple[Dim, Dim, int]:
    """Return first place, number of places and step of a slice along an axis.

    Raises
    ------
    ValueError
        They depend on how large the batch or the length is.
    """
    start, stop, step = part.start, part.stop, 1 if part.step is None else part.step
    if all(v is None or isinstance(v, int) for v in (start, stop, step, extent)):
        places = range(*part.indices(extent))
        return places.start, len(places), places.step
    first, last = (
        default if bound is None else _from_front(emit.limits, bound, extent)
        for bound, default in ((start, 0), (stop, extent))
    )
    ordered = all(emit.limits.at_most(*p) for p in ((0, first), (first, last), (last, extent)))
    if step != 1 or not ordered:
        raise ValueError(f"[{first}:{last}:{step}] of {extent} given")
    return first, dim(last - first), step


def _from_front(limits: Limits, bound: Dim, extent: Dim) -> Dim:
    """Return a bound of a slice counted from the front, and no more than there is."""
    if limits.at_most(bound, -1):
        return dim(extent + bound)
    return extent if limits.at_most(extent, bound) else bound


def is_negative(bound: Dim) -> bool:
    """Return whether a bound is a number, and counts from the end."""
    return isinstance(bound, int) and bound < 0


def sliced(emit: Emitter, x: tvm.ir.Expr, slices: list[slice]) -> tvm.ir.Expr:
    """Return a tensor cut along each of its axes.

    Raises
    ------
    ValueError
        As `picked` does.
    """
    axes, begins, ends, strides = [], [], [], []
    for axis, (part, extent) in enumerate(zip(slices, tensor_shape(x), strict=True)):
        start, count, step = picked(emit, part, extent)
        if (start, count, step) == (0, extent, 1):
            continue
        if step < 0:
            # Walking backwards is walking forwards over the flipped axis.
            x = emit(op.flip(x, axis))
            start, step = extent - 1 - start, -step
        axes.append(axis)
        begins.append(start)
        # Of steps the last one is whole where it can be, as models write it.
        last = dim(start + count * step)
        ends.append(last if step == 1 else min(last, extent))
        strides.append(step)
    # Where the run decides, Relax needs to be told that the places exist.
    bounds = {"assume_inbound": True} if _is_open(x, begins, ends) else {}
    return emit(op.strided_slice(x, axes, begins, ends, strides, **bounds)) if axes else x


def _is_open(x: tvm.ir.Expr, begins: list[Dim], ends: list[Dim]) -> bool:
    return not all(isinstance(v, int) for v in (*tensor_shape(x), *begins, *ends))
