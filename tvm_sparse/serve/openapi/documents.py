"""JSON Schemas of what is asked and answered at addresses where no model runs."""

from __future__ import annotations

import msgspec

from tvm_sparse.serve.cards import Card
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.openapi.parts import TEXT, WHOLE, Schema, array, record, refer

_EXTENT = {"type": "integer", "minimum": -1}
_TENSORS = array(record(name=TEXT, datatype=TEXT, shape=array(_EXTENT)))
_PLACES = array(record(name=TEXT, data_type=TEXT, dims=array(_EXTENT)))
_TOTALS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
#: By the names that `addresses.Address` has for them.
DOCUMENTS: dict[str, Schema] = {
    "Error": record(error=TEXT),
    "Server": record(name=TEXT, version=TEXT, extensions=array(TEXT)),
    "Model": record(
        name=TEXT, versions=array(TEXT), platform=TEXT, inputs=_TENSORS, outputs=_TENSORS
    ),
    "ModelSettings": record(
        name=TEXT, platform=TEXT, backend=TEXT, max_batch_size=WHOLE, input=_PLACES, output=_PLACES
    ),
    "Statistics": record(
        model_stats=array(
            record(
                name=TEXT,
                version=TEXT,
                last_inference=WHOLE,
                inference_count=WHOLE,
                execution_count=WHOLE,
                inference_stats=record(**dict.fromkeys(_TOTALS, record(count=WHOLE, ns=WHOLE))),
            )
        )
    ),
    "IndexRequest": {
        "type": "object",
        "properties": {"ready": {"description": "true for those that are ready alone"}},
    },
    "Index": array(
        record(
            name=TEXT,
            version=TEXT,
            state={"enum": ["READY", "LOADING", "UNAVAILABLE"]},
            reason=TEXT,
        )
    ),
    "LoadRequest": {"type": "object", "properties": {"parameters": {"type": "object"}}},
    "Page": record(version=TEXT, loading=array(TEXT), models=array(refer("Card"))),
}


def document_schemas() -> dict[str, Schema]:
    """Return the schemas by name, those of our dataclasses among them."""
    template = refer("{name}")["$ref"]
    _, named = msgspec.json.schema_components((Card, ServeConfig), ref_template=template)
    return {**named, **DOCUMENTS}
