"""What an ONNX file says of its model, read without the package onnx and without its weights.

A file is a message of Protocol Buffers, of which a few fields are read here: signature, versions,
and which other files hold the weights. Whatever is truncated shows before any process is started.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tvm_sparse.errors import CheckpointError

ONNX_ENDING = ".onnx"
#: A number or a text: one that the file fixes, or the name of one that it leaves open.
Extent: TypeAlias = "int | str"
#: ONNX's numbers of dtypes that inputs and outputs have, by numpy's names.
DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
}
#: Numbers of fields, by message.
_IR_VERSION, _GRAPH, _OPSETS = 1, 7, 8
_INITIALIZER, _INPUT, _OUTPUT = 5, 11, 12
_TENSOR_NAME, _EXTERNAL = 8, 13
#: Kinds of fields.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_ADVICE = "fetch or export it again"


@dataclass(frozen=True)
class OnnxTensor:
    """An input or output: name, numpy's dtype, and extents, None if the file says none."""

    name: str
    dtype: str
    shape: tuple[Extent, ...] | None


@dataclass(frozen=True)
class OnnxFile:
    """What a file says.

    Attributes
    ----------
    path : Path
        The file.
    ir_version : int
        Of the format.
    opsets : dict of str to int
        Versions of the operators by domain; ONNX's own is "".
    inputs, outputs : tuple of OnnxTensor
        Weights among the inputs, as old files have them, left out.
    external : tuple of Path
        Files beside it that hold weights.
    """

    path: Path
    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    inputs: tuple[OnnxTensor, ...] = ()
    outputs: tuple[OnnxTensor, ...] = ()
    external: tuple[Path, ...] = ()


def read_onnx_file(path: Path) -> OnnxFile:
    """Read what a file says of its model.

    Raises
    ------
    CheckpointError
        It is no ONNX file, is truncated, or lacks a file that it names.
    """
    try:
        with path.open("rb") as file:
            # Closed with the last of its parts, which an error may hold.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return _model(memoryview(data), path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, IndexError, TypeError, UnicodeDecodeError):
        raise CheckpointError(f"{path} is no ONNX file, or truncated: {_ADVICE}") from None


def _model(data: memoryview, path: Path) -> OnnxFile:
    version, opsets, graphs = 0, {}, []
    for number, value in _fields(data):
        if number == _IR_VERSION:
            version = _int(value)
        elif number == _OPSETS:
            opset = dict(_fields(_bytes(value)))
            opsets[_text(opset.get(1, b""))] = _int(opset.get(2, 0))
        elif number == _GRAPH:
            graphs.append(_bytes(value))
    if not version or not opsets or len(graphs) != 1:
        raise CheckpointError(f"{path} holds no ONNX model: {_ADVICE}")
    inputs, outputs, weights = [], [], set()
    locations: dict[str, int] = {}
    for number, value in _fields(graphs[0]):
        if number == _INPUT:
            inputs.append(_tensor(_bytes(value)))
        elif number == _OUTPUT:
            outputs.append(_tensor(_bytes(value)))
        elif number == _INITIALIZER:
            weights.add(_weight(_bytes(value), locations))
    if not outputs:
        raise CheckpointError(f"{path} has a graph without outputs: {_ADVICE}")
    return OnnxFile(
        path,
        version,
        opsets,
        tuple(tensor for tensor in inputs if tensor.name not in weights),
        tuple(outputs),
        tuple(_external(path, name, size) for name, size in sorted(locations.items())),
    )


def _weight(data: memoryview, locations: dict[str, int]) -> str:
    """Return a weight's name; where it lies in another file, note how long that has to be."""
    name, entries = "", {}
    for number, value in _fields(data):
        if number == _TENSOR_NAME:
            name = _text(value)
        elif number == _EXTERNAL:
            entry = dict(_fields(_bytes(value)))
            entries[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
    if location := entries.get("location"):
        end = int(entries.get("offset") or 0) + int(entries.get("length") or 0)
        locations[location] = max(end, locations.get(location, 0))
    return name


def _external(path: Path, location: str, size: int) -> Path:
    """Return the file of weights at a location, which lies beside the model or below."""
    file = path.parent / location
    if Path(location).is_absolute() or ".." in Path(location).parts:
        raise CheckpointError(f"{path} names the file {location!r}, which is not beside it")
    if not file.is_file():
        raise CheckpointError(
            f"{path} has its weights in {location}, which is missing: put it beside the file"
        )
    found = file.stat().st_size
    if found < size:
        raise CheckpointError(f"{file} is truncated: {found} bytes, {size} are expected; {_ADVICE}")
    return file


def _tensor(data: memoryview) -> OnnxTensor:
    name, dtype, shape = "", "", None
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            kind = dict(_fields(_bytes(value))).get(1)
            if kind is None:  # a sequence or a map
                continue
            tensor = dict(_fields(_bytes(kind)))
            dtype = DTYPES.get(_int(tensor.get(1, 0)), "")
            if 2 in tensor:
                extents = [_extent(_bytes(v)) for n, v in _fields(_bytes(tensor[2])) if n == 1]
                shape = tuple(extents)
    return OnnxTensor(name, dtype, shape)


def _extent(data: memoryview) -> Extent:
    fields = dict(_fields(data))
    return _int(fields[1]) if 1 in fields else _text(fields.get(2, b""))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a message: number, and value or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"field of kind {kind}")
        if not number or at + length > len(data):
            raise ValueError("a field that ends behind its message")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of too many bytes")


def _int(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise TypeError("bytes where a number belongs")
    return value


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise TypeError("a number where bytes belong")
    return value


def _text(value: int | memoryview | bytes) -> str:
    if isinstance(value, int):
        raise TypeError("a number where a text belongs")
    return bytes(value).decode()
