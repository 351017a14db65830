"""Inference requests and responses of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from tvm_sparse.serve.refusal import wrong
from tvm_sparse.serve.request import Request
from tvm_sparse.serve.tensor_forms import (
    check_shape,
    from_binary,
    from_json,
    to_binary,
    to_json,
)
from tvm_sparse.serve.tensors import BYTES, DTYPES, Tensor

#: Tells where in a body the JSON ends and the binary data begins.
LENGTH_HEADER = b"inference-header-content-length"


def parse_json(body: bytes | memoryview) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises
    ------
    Refusal
        There is none.
    """
    try:
        document = orjson.loads(body)
    except ValueError as error:  # nesting that is too deep too
        raise wrong(f"failed to parse the request JSON buffer: {error}") from None
    if not isinstance(document, dict):
        raise wrong("the request must be a JSON object")
    return document


def parse_request(body: bytes, header_length: bytes | None) -> Request:
    """Return the request in a body.

    Parameters
    ----------
    body : bytes
        JSON, and binary data behind it.
    header_length : bytes or None
        How many bytes of it are JSON, in digits; None for all.

    Raises
    ------
    Refusal
        It is none.
    """
    if header_length is None:
        return read_request(parse_json(body), memoryview(b""))
    digits = header_length.isdigit() and len(header_length) < 20
    if not digits or int(header_length) > len(body):
        raise wrong(
            f"{LENGTH_HEADER.decode()} {header_length[:40].decode('latin-1')!r} given, the body "
            f"has {len(body)} bytes"
        )
    length, view = int(header_length), memoryview(body)
    return read_request(parse_json(view[:length]), view[length:])


def read_request(document: Mapping[str, Any], data: memoryview) -> Request:
    """Return the request in a JSON object and the binary data behind it.

    Raises
    ------
    Refusal
        It is none.
    """
    given = document.get("inputs")
    if not isinstance(given, list):
        raise wrong("failed to find an array 'inputs' in the request")
    inputs: dict[str, Tensor] = {}
    start = 0
    most = max(len(data), 1 << 26)
    for one in given:
        name, datatype = _text(one, "name"), _text(one, "datatype")
        check_input(name, datatype, inputs)
        shape = check_shape(name, one.get("shape"), most)
        size = read_parameters(one).get("binary_data_size")
        if size is None:
            inputs[name] = from_json(name, datatype, shape, one.get("data"))
            continue
        if type(size) is not int or not 0 <= size <= len(data) - start:
            raise wrong(
                f"input '{name}': binary_data_size {str(size)[:40]} given, {len(data) - start} "
                "bytes are left"
            )
        inputs[name] = from_binary(name, datatype, shape, data[start : start + size])
        start += size
    if start != len(data):
        raise wrong(f"{len(data) - start} bytes of binary data belong to no input")
    wanted = document.get("outputs")
    wanted = [] if wanted is None else wanted
    if not isinstance(wanted, list):
        raise wrong("'outputs' must be an array")
    parameters = read_parameters(document)
    binary = parameters.get("binary_data_output") is True
    outputs = {_text(one, "name"): _in_binary(one, binary) for one in wanted}
    number = document.get("id", "")
    return Request(inputs, outputs, parameters, str(number), binary)


def check_input(name: str, datatype: str, before: Collection[str]) -> None:
    """Refuse an input that was given before, or of a type that there is not.

    Raises
    ------
    Refusal
        Saying which.
    """
    if name in before:
        raise wrong(f"input '{name}' is given twice")
    if datatype != BYTES and datatype not in DTYPES:
        raise wrong(f"input '{name}' has the unknown datatype '{datatype[:40]}'")


def read_parameters(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request, or of one of its tensors.

    Raises
    ------
    Refusal
        They are no object.
    """
    value = entry.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong("'parameters' must be an object")
    return value


def write_response(
    model: str, request: Request, outputs: Mapping[str, Tensor]
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and how much of it is JSON if binary data follows."""
    parts: list[bytes] = []
    described: list[dict[str, Any]] = []
    for name, binary in (request.outputs or dict.fromkeys(outputs, request.binary)).items():
        tensor = outputs[name]
        entry: dict[str, Any] = {"name": name, "datatype": tensor.datatype, "shape": tensor.shape}
        if binary:
            parts.append(to_binary(tensor))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            entry["data"] = to_json(tensor)
        described.append(entry)
    answer: dict[str, Any] = {"model_name": model, "model_version": "1", "outputs": described}
    if request.id:
        answer["id"] = request.id
    head = orjson.dumps(answer)
    return (b"".join((head, *parts)), len(head)) if parts else (head, None)


def _text(entry: Any, name: str) -> str:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, str):
        raise wrong(f"an input or output without a string '{name}' is given")
    return value


def _in_binary(entry: Mapping[str, Any], otherwise: bool) -> bool:
    return read_parameters(entry).get("binary_data", otherwise) is True
