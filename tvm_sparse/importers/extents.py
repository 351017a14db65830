"""Arrays of extents that the run of an open model decides: known at import as expressions.

They are numpy arrays of objects, integers and expressions in the batch and the length, so that
numpy computes with them as with numbers; whatever would have to know a number of them fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tvm
from tvm import tirx

from tvm_sparse.ir.dims import BATCH, SEQ_LEN, Dim, dim, evaluate

#: Attributes of nodes that say of which type their result is, the first there is counts.
_RESULT_TYPES = ("DstT", "out_type", "Tparams", "Tidx", "T")


def is_extent(value: Any) -> bool:
    """Return whether `value` is an extent that the run decides."""
    return isinstance(value, tvm.ir.Expr) and isinstance(value.ty, tvm.ir.PrimType)


def is_open(value: Any) -> bool:
    """Return whether `value` is an array of extents of which the run decides one or more."""
    return isinstance(value, np.ndarray) and value.dtype == object


def extents_array(shape: Iterable[Dim], dtype: str) -> np.ndarray:
    """Return a shape as a vector, of `dtype` if all of it is known."""
    extents = list(shape)
    if all(isinstance(extent, int) for extent in extents):
        return np.asarray(extents, dtype)
    array = np.empty(len(extents), object)
    array[:] = extents
    return array


def settled(value: Any, attrs: dict[str, Any]) -> np.ndarray:
    """Return what a fold of extents gave: each in its one form, as numbers if all are.

    Parameters
    ----------
    value : ndarray or a single element
        The result.
    attrs : dict of str to Any
        The node's, for the type of numbers.
    """
    if not isinstance(value, np.ndarray):
        value = np.array(value, object)
    if value.dtype != object:
        return value
    dtype = next((attrs[name] for name in _RESULT_TYPES if name in attrs), "int32")
    flat = extents_array((dim(element) for element in value.reshape(-1)), dtype)
    return flat.reshape(value.shape)


class Limits:
    """What is known of the batch and the length: they are at least 1, and at most these."""

    def __init__(self, batch: int, seq_len: int) -> None:
        self.batch, self.seq_len = batch, seq_len
        self._analyzer = tvm.sym.Analyzer()
        for var, most in ((BATCH, batch), (SEQ_LEN, seq_len)):
            self._analyzer.bind(var, tvm.ir.Range(1, tirx.IntImm("int64", most + 1)))

    def largest(self, shape: Iterable[Dim]) -> tuple[int, ...]:
        """Return a shape at the largest batch and length."""
        return tuple(evaluate(extent, self.batch, self.seq_len) for extent in shape)

    def at_most(self, low: Dim, high: Dim) -> bool:
        """Return whether `low` <= `high` whatever the run decides."""
        if isinstance(low, int) and isinstance(high, int):
            return low <= high
        return bool(self._analyzer.can_prove(low <= high))
