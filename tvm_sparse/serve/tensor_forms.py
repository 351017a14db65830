"""Tensors as requests and answers write them: in JSON, and in binary behind it.

https://github.com/kserve/open-inference-protocol, and Triton's extension for binary data.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.serve.refusal import wrong
from tvm_sparse.serve.tensors import BYTES, DTYPES, Tensor

_LENGTH = struct.Struct("<I")
_MOST_AXES = 16


def check_shape(name: str, shape: Any, most_bytes: int) -> tuple[int, ...]:
    """Return the shape that a request says a tensor has.

    Raises
    ------
    Refusal
        It is none, or one of more than `most_bytes` elements.
    """
    plain = isinstance(shape, list) and all(type(one) is int and one >= 0 for one in shape)
    if not plain or len(shape) > _MOST_AXES:
        raise wrong(f"input '{name}': 'shape' must be an array of whole numbers from 0 on")
    if prod(shape) > most_bytes:
        raise wrong(f"input '{name}' has {prod(shape)} elements, at most {most_bytes} are read")
    return tuple(shape)


def from_json(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> Tensor:
    """Return a tensor whose elements are in the JSON of a request.

    Raises
    ------
    Refusal
        They are of another type, or not as many as the shape says.
    """
    if not isinstance(data, list):
        raise wrong(f"input '{name}': 'data' must be an array of {datatype}")
    if datatype == BYTES:
        return from_elements(name, shape, _flat(name, data))
    try:
        found = np.array(data)
    except ValueError:
        raise wrong(f"input '{name}': 'data' is no rectangle of numbers") from None
    return from_numbers(name, datatype, shape, found)


def from_elements(name: str, shape: tuple[int, ...], elements: Sequence[str | bytes]) -> Tensor:
    """Return a tensor of `BYTES`.

    Raises
    ------
    Refusal
        There are not as many as the shape says.
    """
    _check_count(name, len(elements), shape)
    return Tensor(BYTES, shape, elements)


def from_numbers(name: str, datatype: str, shape: tuple[int, ...], found: NDArray[Any]) -> Tensor:
    """Return a tensor of numbers that a request has in some other type.

    Raises
    ------
    Refusal
        They are none of its type, or not as many as the shape says.
    """
    wanted = np.dtype(DTYPES[datatype])
    if found.size == 0:
        found = found.astype(wanted)
    kinds = {"b": "b", "f": "iuf"}.get(wanted.kind, "iu")
    if found.dtype.kind not in kinds:
        raise wrong(f"input '{name}': 'data' must hold numbers of type {datatype}")
    _check_count(name, found.size, shape)
    with np.errstate(over="ignore"):
        values = found.astype(wanted).reshape(shape)
    if wanted.kind in "iu" and not np.array_equal(values, found.reshape(shape)):
        raise wrong(f"input '{name}' holds a number that is no {datatype}")
    return Tensor(datatype, shape, values)


def from_binary(name: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> Tensor:
    """Return a tensor whose elements follow the JSON of a request.

    Raises
    ------
    Refusal
        There are more or fewer bytes than its shape needs.
    """
    if datatype == BYTES:
        return from_elements(name, shape, _split(name, data))
    dtype = np.dtype(DTYPES[datatype])
    if len(data) != prod(shape) * dtype.itemsize:
        raise wrong(
            f"input '{name}' has {len(data)} bytes of binary data, {prod(shape) * dtype.itemsize} "
            f"are needed for {datatype} {list(shape)}"
        )
    return Tensor(datatype, shape, np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape))


def to_json(tensor: Tensor) -> list[Any]:
    """Return the elements of a tensor in one list.

    Raises
    ------
    Refusal
        It holds bytes that are no text.
    """
    if tensor.datatype == BYTES:
        return tensor.texts("output")
    flat: list[Any] = tensor.values.reshape(-1).tolist()
    return flat


def to_binary(tensor: Tensor) -> bytes:
    """Return the elements of a tensor in bytes."""
    if tensor.datatype != BYTES:
        return bytes(np.ascontiguousarray(tensor.values).tobytes())
    raw = (one.encode() if isinstance(one, str) else one for one in tensor.values)
    return b"".join(part for one in raw for part in (_LENGTH.pack(len(one)), one))


def _check_count(name: str, count: int, shape: tuple[int, ...]) -> None:
    if count != prod(shape):
        raise wrong(
            f"input '{name}' has {count} elements, its shape {list(shape)} has {prod(shape)}"
        )


def _flat(name: str, data: list[Any]) -> list[str]:
    """Return the texts in a list, or in lists of lists."""
    for _ in range(_MOST_AXES):
        if all(isinstance(one, str) for one in data):
            return data
        if not all(isinstance(one, list) for one in data):
            break
        data = [one for part in data for one in part]
    raise wrong(f"input '{name}': 'data' must be an array of strings")


def _split(name: str, data: memoryview) -> list[bytes]:
    """Return the elements of BYTES: each follows its length."""
    texts, start = [], 0
    while start < len(data):
        if start + _LENGTH.size > len(data):
            raise wrong(f"input '{name}' ends within the length of an element")
        (length,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size
        if start + length > len(data):
            raise wrong(f"input '{name}' ends within an element of {length} bytes")
        texts.append(bytes(data[start : start + length]))
        start += length
    return texts
