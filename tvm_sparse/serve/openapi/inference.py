"""JSON Schemas of inference requests and responses, from what a model takes and returns."""

from __future__ import annotations

from typing import Any

import msgspec

from tvm_sparse.serve.openapi.parts import TEXT, WHOLE, Schema, array, either, record
from tvm_sparse.serve.options import option_types
from tvm_sparse.serve.signature import WIDER, Signature
from tvm_sparse.serve.tensors import BYTES, DTYPES, TensorPlace
from tvm_sparse.serve.text_answers import NOT_OPTIONS
from tvm_sparse.text.pipelines import TEXT_TASKS


def request_schema(signature: Signature, task: str | None) -> Schema:
    """Return the schema of a request in JSON.

    Parameters
    ----------
    signature : Signature
        What the model takes.
    task : str or None
        What it is asked, whose options are parameters; None for tensors.
    """
    places = signature.inputs
    return {
        "type": "object",
        "properties": {
            "id": {"description": "returned with the answer"},
            "inputs": array(
                either(*map(_input, places)),
                minItems=sum(not place.optional for place in places),
                maxItems=len(places),
            ),
            "outputs": {"type": ["array", "null"], "items": {"type": "object"}},
            "parameters": _parameters(task) if task else {"type": ["object", "null"]},
        },
        "required": ["inputs"],
    }


def response_schema(signature: Signature) -> Schema:
    """Return the schema of an answer in JSON."""
    kinds = [
        record(
            name={"const": place.name},
            datatype={"const": place.datatype},
            shape=array(WHOLE, minItems=len(place.shape), maxItems=len(place.shape)),
            data=array(_element(place.datatype)),
        )
        for place in signature.outputs
    ]
    return record(model_name=TEXT, model_version={"const": "1"}, outputs=array(either(*kinds)))


def request_example(signature: Signature) -> dict[str, Any]:
    """Return a request."""
    needed = [place for place in signature.inputs if not place.optional]
    return {"inputs": [{"name": place.name, **_example(place)} for place in needed]}


def _input(place: TensorPlace) -> Schema:
    taken = [one for one in (place.datatype, WIDER.get(place.datatype)) if one]
    count = len(place.shape)
    shape = {
        "type": "array",
        "minItems": count,
        "maxItems": count,
        "prefixItems": [WHOLE if extent < 0 else {"const": extent} for extent in place.shape],
    }
    data = array(either(_element(place.datatype), {"type": "array"}))
    return record(name={"const": place.name}, datatype={"enum": taken}, shape=shape, data=data)


def _example(place: TensorPlace) -> dict[str, Any]:
    shape = [1 if extent < 0 else extent for extent in place.shape]
    if place.datatype == BYTES:
        return {"datatype": BYTES, "shape": shape, "data": ["A small bird sings."]}
    count = 1
    for extent in shape:
        count *= extent
    return {"datatype": place.datatype, "shape": shape, "data": [1] * count}


def _element(datatype: str) -> Schema:
    if datatype == BYTES:
        return TEXT
    return {"type": {"b": "boolean", "f": "number"}.get(DTYPES[datatype][0], "integer")}


def _parameters(task: str) -> Schema:
    types = option_types(TEXT_TASKS[task].make)
    schemas, _ = msgspec.json.schema_components(tuple(types.values()))
    return {
        "type": ["object", "null"],
        "properties": {
            **{name: {} for name in sorted(NOT_OPTIONS)},
            **dict(zip(types, schemas, strict=True)),
        },
        "additionalProperties": False,
    }
