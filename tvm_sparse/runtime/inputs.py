"""Inputs as a model takes them: converted where that loses nothing, refused by name otherwise.

TVM itself answers a misaligned or mistyped buffer with a crash.
"""

from __future__ import annotations

import contextlib
from array import array as numbers
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tvm_sparse.errors import InputError
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.weights import ALIGNMENT_BYTES

Array = np.ndarray[Any, Any]

_INT32 = partial(numbers, "i")

#: What an input is that nobody gives: every token counts, all are of the first segment.
DEFAULTS = {"attention_mask": 1, "token_type_ids": 0}


def check_names(specs: Sequence[TensorSpec], given: Mapping[str, Any]) -> None:
    """Refuse inputs that a model does not have, and the lack of those it needs.

    Raises
    ------
    InputError
        If there are any.
    """
    names = [spec.name for spec in specs]
    missing = [name for name in names if name not in given and name not in DEFAULTS]
    unknown = [name for name in given if name not in names]
    if missing or unknown:
        faults = [
            f"{what} {', '.join(map(str, which))}"
            for what, which in (("missing", missing), ("unknown", unknown))
            if which
        ]
        signature = ", ".join(map(str, specs))
        raise InputError(f"inputs {' and '.join(faults)}: the model takes {signature}")


def as_array(spec: TensorSpec, value: Any, what: str = "") -> Array:
    """Return numbers as an array of an input's dtype.

    Parameters
    ----------
    spec : TensorSpec
        The input.
    value : array_like
        Numbers; no copy is made of an array that has the dtype.
    what : str
        What to call it, where it is not the whole input.

    Raises
    ------
    InputError
        If they are none, or the dtype cannot hold them.
    """
    wanted = np.dtype(spec.dtype)
    if type(value) is list and wanted == np.int32:
        with contextlib.suppress(TypeError, OverflowError, ValueError):  # told apart below
            return np.frombuffer(_INT32(value), wanted)  # a tenth of what numpy takes for it
    name = what or f"input {spec.name}"
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        raise InputError(
            f"{name} is no rectangle of numbers: pad it, or give sequences to `run_ragged`"
        ) from None
    if array.dtype == wanted:
        return array
    kind = array.dtype.kind if array.size else "b"  # an empty list is one of floats to numpy
    if kind not in "biuf" or (kind == "f" and wanted.kind != "f"):
        raise InputError(f"{name} is {array.dtype}, {spec.dtype} is needed")
    with np.errstate(invalid="ignore", over="ignore"):
        converted = array.astype(wanted)
    if wanted.kind != "f" and not np.array_equal(converted, array):
        raise InputError(f"{name} holds numbers that are too large for {spec.dtype}")
    return converted


def check_ids(spec: TensorSpec, value: Array, what: str = "") -> None:
    """Refuse ids that a model has no row for: it would take another one in silence.

    Parameters
    ----------
    spec, value, what
        An input, and what `as_array` returned for it.

    Raises
    ------
    InputError
        If an id is negative or too large.
    """
    if spec.below is None:
        return
    # As unsigned numbers negative ones are the largest: one look tells both.
    if value.view(f"u{value.itemsize}").max(initial=0) >= spec.below:
        where = tuple(map(int, np.argwhere((value < 0) | (value >= spec.below))[0]))
        raise InputError(
            f"{what or f'input {spec.name}'} holds {value[where]} at {list(where)}, the model has "
            f"0 to {spec.below - 1}: use the tokenizer that belongs to it"
        )


def align(array: Array) -> Array:
    """Return a contiguous copy of `array` that starts at a multiple of `ALIGNMENT_BYTES`."""
    raw = np.empty(array.nbytes + ALIGNMENT_BYTES, dtype=np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGNMENT_BYTES
    aligned = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    aligned[...] = array
    return aligned
