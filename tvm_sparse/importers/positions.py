"""Tensors of an open model that follow from positions alone: known at import, up to the limits.

Where a token stands, how far it is from another, which angle it has: models compute these from the
length alone. What they are for short texts is the front of what they are for the longest ones, as
long as it is computed place by place. So it is computed once, in numpy, at the largest batch and
length, and the module takes the front of a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.slices import picked, sliced
from tvm_sparse.ir.dims import Dim
from tvm_sparse.ir.expressions import tensor_shape


class Positions:
    """A tensor that is known for all batches and lengths.

    Parameters
    ----------
    emit : Emitter
        Where its Relax form goes, once somebody needs it.
    array : ndarray
        At the limits of `emit`. Along an axis where all are equal one may stand for them.
    shape : tuple of (int or PrimExpr)
        In a run, which has the front of `array`.
    """

    def __init__(self, emit: Emitter, array: np.ndarray, shape: tuple[Dim, ...]) -> None:
        largest = emit.limits.largest(shape)
        for axis, extent in enumerate(shape):
            if not isinstance(extent, int) and array.shape[axis] == largest[axis] > 1:
                # Masks that are repeated for each sequence would be large.
                first = array[(slice(None),) * axis + (slice(0, 1),)]
                alike = array.strides[axis] == 0 or bool((array == first).all())
                array = first if alike else array
        self.array, self.shape, self._emit = array, shape, emit
        self._expr: tvm.ir.Expr | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array."""
        return self.array.dtype

    def changed(self, array: np.ndarray, shape: tuple[Dim, ...]) -> Positions:
        """Return other numbers, or the same in another shape."""
        return Positions(self._emit, array, shape)

    def whole(self) -> np.ndarray:
        """Return all of it at the limits."""
        return np.broadcast_to(self.array, self._emit.limits.largest(self.shape))

    def as_expr(self, constant: Callable[[np.ndarray], tvm.ir.Expr]) -> tvm.ir.Expr:
        """Return its Relax form, written once; `constant` makes one of an array."""
        if self._expr is None:
            shape = zip(self.array.shape, self.shape, strict=True)
            ends = [slice(0, 1 if known == 1 else extent) for known, extent in shape]
            expr = sliced(self._emit, constant(self.array), ends)
            if any(part.stop != extent for part, extent in zip(ends, self.shape, strict=True)):
                expr = self._emit(relax.op.broadcast_to(expr, self.shape))
            self._expr = expr
        return self._expr


def cut(emit: Emitter, x: Any, axis: int, where: slice) -> Any:
    """Return a slice of one axis of a tensor, known if that is.

    Raises
    ------
    ValueError
        As `slices.picked` does.
    """
    shape = x.shape if isinstance(x, np.ndarray | Positions) else tensor_shape(x)
    start, count, step = picked(emit, where, shape[axis])
    if (start, count, step) == (0, shape[axis], 1):
        return x
    front, back = [slice(None)] * axis, [slice(None)] * (len(shape) - axis - 1)
    if not isinstance(x, np.ndarray | Positions):
        return sliced(emit, x, [*front, where, *back])
    if not isinstance(start, int):
        raise ValueError(f"[{start}:] of {shape[axis]} given")
    whole = x.whole() if isinstance(x, Positions) else x
    (most,) = emit.limits.largest((count,))
    end = start + most * step
    front.append(slice(start, None if end < 0 else end, step))
    kept = whole[tuple(front)]
    new_shape = (*shape[:axis], count, *shape[axis + 1 :])
    is_known = all(isinstance(extent, int) for extent in new_shape)
    return kept if is_known else Positions(emit, kept, new_shape)
