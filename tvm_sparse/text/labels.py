"""The names of a model's classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def class_names(config: Mapping[str, Any], count: int) -> list[str]:
    """Return the names of a model's classes by number, as its `config.json` has them."""
    names = {int(i): str(name) for i, name in (config.get("id2label") or {}).items()}
    return [names.get(i, f"LABEL_{i}") for i in range(count)]
