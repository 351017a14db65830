"""JSON Schemas that others are made of."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}


def record(**properties: Any) -> Schema:
    """Return the schema of an object that has all of some properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def array(items: Schema, **more: Any) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **more}


def either(*schemas: Schema) -> Schema:
    """Return the schema of what fits one of several."""
    return {"anyOf": list(schemas)}


def refer(name: str) -> Schema:
    """Return what refers to a schema of the document by its name."""
    return {"$ref": f"#/components/schemas/{name}"}
