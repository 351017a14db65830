from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from tvm_sparse.records.schema import json_schema

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Part:
    """A part.

    Attributes
    ----------
    size : int
        Its size,
        in bytes.
    """

    size: int


@dataclass(frozen=True)
class NamedPart(Part):
    """A part with names.

    Attributes
    ----------
    first, last : str
        Names.
    """

    first: str
    last: str = ""


@dataclass(frozen=True)
class Whole:
    """All of it,
    put together.

    Not part of the summary.
    """

    schema_version: Literal[1] = field(default=1, kw_only=True)
    parts: dict[str, tuple[NamedPart, ...] | None]


def test_fields_come_in_order_with_what_docstrings_say() -> None:
    schema = json_schema(Whole)
    assert schema["description"] == "All of it, put together."
    assert list(schema["properties"]) == schema["required"] == ["schema_version", "parts"]
    assert schema["properties"]["schema_version"] == {"enum": [1]}
    assert schema["$defs"] == {
        "NamedPart": {
            "title": "NamedPart",
            "description": "A part with names.",
            "type": "object",
            "properties": {
                "size": {"type": "integer", "description": "Its size, in bytes."},
                "first": {"type": "string", "description": "Names."},
                "last": {"type": "string", "description": "Names."},
            },
            "required": ["size", "first", "last"],
            "additionalProperties": False,
        }
    }
