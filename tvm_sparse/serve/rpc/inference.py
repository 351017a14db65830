"""Requests and answers of inference, from protobuf and to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from tvm_sparse.serve.inference import check_input
from tvm_sparse.serve.refusal import wrong
from tvm_sparse.serve.request import Request
from tvm_sparse.serve.rpc.protocol import CHOICE, message
from tvm_sparse.serve.tensor_forms import (
    check_shape,
    from_binary,
    from_elements,
    from_numbers,
    to_binary,
)
from tvm_sparse.serve.tensors import BYTES, Tensor

#: Where typed contents of a datatype stand; those of FP16 come in binary only.
_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
_SHARED_MEMORY = "shared_memory_region"


def parse(kind: Any, data: bytes) -> Any:
    """Return the message in some bytes.

    Raises
    ------
    Refusal
        They are none of that kind.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise wrong(f"failed to parse the request: {error}") from None


def read_request(given: Any, most_elements: int) -> Request:
    """Return the request in a `ModelInferRequest`.

    Parameters
    ----------
    given : message
        The request.
    most_elements : int
        Of one input.

    Raises
    ------
    Refusal
        It is none.
    """
    raw = given.raw_input_contents
    if raw and len(raw) != len(given.inputs):
        raise wrong(
            f"{len(raw)} raw_input_contents given for {len(given.inputs)} inputs: give one each"
        )
    inputs: dict[str, Tensor] = {}
    for index, one in enumerate(given.inputs):
        name, datatype = one.name, one.datatype
        check_input(name, datatype, inputs)
        shape = check_shape(name, list(one.shape), most_elements)
        if _SHARED_MEMORY in one.parameters:
            raise wrong(f"input '{name}' is in shared memory, which is not read: send it")
        if not raw:
            inputs[name] = _from_contents(name, datatype, shape, one.contents)
        elif one.HasField("contents"):
            raise wrong(f"input '{name}' has contents, and raw_input_contents are given: give one")
        else:
            inputs[name] = from_binary(name, datatype, shape, memoryview(raw[index]))
    outputs = dict.fromkeys((one.name for one in given.outputs), True)
    return Request(inputs, outputs, read_parameters(given.parameters), given.id, binary=True)


def write_response(model: str, request: Request, outputs: Mapping[str, Tensor]) -> Any:
    """Return the `ModelInferResponse` of an answer, its tensors in binary."""
    answer = message("ModelInferResponse")(model_name=model, model_version="1", id=request.id)
    for name in request.outputs or outputs:
        tensor = outputs[name]
        answer.outputs.add(name=name, datatype=tensor.datatype, shape=tensor.shape)
        answer.raw_output_contents.append(to_binary(tensor))
    return answer


def read_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request.

    Raises
    ------
    Refusal
        One has no value.
    """
    parameters = {}
    for name, value in given.items():
        choice = value.WhichOneof(CHOICE)
        if choice is None:
            raise wrong(f"parameter '{name[:100]}' has no value of a known type")
        parameters[name] = getattr(value, choice)
    return parameters


def _from_contents(name: str, datatype: str, shape: tuple[int, ...], contents: Any) -> Tensor:
    field = _CONTENTS.get(datatype)
    if field is None:
        raise wrong(f"input '{name}': {datatype} is read from raw_input_contents")
    others = [found.name for found, _ in contents.ListFields() if found.name != field]
    if others:
        raise wrong(f"input '{name}' has {others[0]}, {datatype} is read from {field}")
    values = getattr(contents, field)
    if datatype == BYTES:
        return from_elements(name, shape, list(values))
    return from_numbers(name, datatype, shape, np.array(values))
