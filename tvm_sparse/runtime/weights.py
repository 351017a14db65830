"""The weights of an artifact: a read-only section of its library, and a table that describes it.

The section holds the tensors one after the other, each at a multiple of `ALIGNMENT_BYTES`. The
table is a list of 64-bit integers that C reads as well as Python:

    count, then for each weight in the order of the function's parameters:
    offset in the section in bytes, DLPack type code, bits, number of dimensions, each dimension

Beside them lies the signature of the function, a text that ends with a zero byte.
"""

from __future__ import annotations

import _ctypes
import ctypes
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import prod
from typing import Any

import numpy as np

#: Kernels load and store whole vector registers at addresses they take to be aligned to this.
ALIGNMENT_BYTES = 64
WEIGHTS_SYMBOL = "tvm_sparse_weights"
TABLE_SYMBOL = "tvm_sparse_weight_table"
SIGNATURE_SYMBOL = "tvm_sparse_signature"
#: DLPack's type codes by numpy's kinds.
_TYPE_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
_KINDS = {code: kind for kind, code in _TYPE_CODES.items()}


def weight_offsets(weights: Iterable[np.ndarray[Any, Any]]) -> tuple[list[int], int]:
    """Lay weights out in a section.

    Parameters
    ----------
    weights : iterable of ndarray
        In order of the parameters.

    Returns
    -------
    offsets : list of int
        Where each one starts, in bytes.
    size_bytes : int
        Size of the section.
    """
    offsets, end = [], 0
    for weight in weights:
        start = -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        offsets.append(start)
        end = start + weight.nbytes
    return offsets, end


def weight_table(weights: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return the table of a section with these weights, as little-endian int64."""
    words = [len(weights)]
    for weight, offset in zip(weights, weight_offsets(weights)[0], strict=True):
        code, bits = _TYPE_CODES[weight.dtype.kind], weight.dtype.itemsize * 8
        words += [offset, code, bits, weight.ndim, *weight.shape]
    return np.array(words, dtype="<i8")


def map_weights(library: str) -> list[np.ndarray[Any, Any]]:
    """Return the weights in a library that TVM has loaded, without copying them.

    Parameters
    ----------
    library : str
        The name under which it was loaded.

    Returns
    -------
    list of ndarray
        In order of the parameters. They are valid as long as the library stays loaded, and must
        not be written to.

    Raises
    ------
    ValueError
        If it has no weights.
    """
    section, table = _addresses(library, WEIGHTS_SYMBOL, TABLE_SYMBOL)
    words = _words(table)
    return [_map_weight(section, words) for _ in range(next(words))]


def read_signature(library: str) -> str:
    """Return the signature in a library that TVM has loaded.

    Raises
    ------
    ValueError
        If it has none.
    """
    (text,) = _addresses(library, SIGNATURE_SYMBOL)
    return ctypes.string_at(text).decode()


def _addresses(library: str, *symbols: str) -> list[int]:
    handle = ctypes.CDLL(library)
    try:
        return [ctypes.addressof(ctypes.c_byte.in_dll(handle, name)) for name in symbols]
    finally:
        # TVM's own reference keeps the library; this one would keep it for ever.
        _ctypes.dlclose(handle._handle)


def _words(address: int) -> Iterator[int]:
    """Yield the integers from `address` on."""
    while True:
        yield ctypes.c_int64.from_address(address).value
        address += ctypes.sizeof(ctypes.c_int64)


def _map_weight(section: int, words: Iterator[int]) -> np.ndarray[Any, Any]:
    offset, code, bits, ndim = islice(words, 4)
    shape, dtype = tuple(islice(words, ndim)), np.dtype(f"{_KINDS[code]}{bits // 8}")
    memory = (ctypes.c_byte * (prod(shape) * dtype.itemsize)).from_address(section + offset)
    return np.ndarray(shape, dtype, buffer=np.ctypeslib.as_array(memory))
