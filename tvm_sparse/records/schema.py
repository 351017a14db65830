"""The JSON Schema of a record, from its dataclasses and their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import msgspec

# numpydoc: names, a type nobody needs here, and an indented text.
_ATTRIBUTES = re.compile(r"^(\w+(?:, \w+)*)(?: : .*)?\n((?:    .*(?:\n|$)|\n(?=    ))+)", re.M)


def json_schema(kind: type) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a record.

    Records are written whole: every field is required, and there are no others.

    Parameters
    ----------
    kind : type
        A dataclass whose docstrings follow numpydoc.
    """
    schema = msgspec.json.schema(kind)
    definitions = schema.pop("$defs")
    for one in dict.fromkeys(_dataclasses(kind)):
        definition = definitions[one.__name__]
        described = _descriptions(one)
        summary = inspect.cleandoc(one.__doc__ or "").partition("\n\n")[0]
        properties = {}
        for field in fields(one):
            found = definition["properties"][field.name]
            # A default is for those who make a record, and not for those who read one.
            found = {name: value for name, value in found.items() if name != "default"}
            if field.name in described:
                found["description"] = described[field.name]
            properties[field.name] = found
        definition.update(
            description=" ".join(summary.split()),
            properties=properties,
            required=list(properties),
            additionalProperties=False,
        )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **definitions.pop(kind.__name__),
        "$defs": definitions,
    }


def _dataclasses(kind: Any) -> Iterator[type]:
    """Yield a dataclass and those that its fields hold, whatever they are wrapped in."""
    if is_dataclass(kind) and isinstance(kind, type):
        yield kind
        for hint in get_type_hints(kind).values():
            yield from _dataclasses(hint)
    for argument in get_args(kind):
        yield from _dataclasses(argument)


def _descriptions(kind: type) -> dict[str, str]:
    """Return what docstrings say of the fields, those of the classes it inherits from too."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        for names, text in _ATTRIBUTES.findall(inspect.cleandoc(one.__doc__ or "")):
            found.update(dict.fromkeys(names.split(", "), " ".join(text.split())))
    return found
