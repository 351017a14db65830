"""A checksum over a record, for a field of the record itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def checksum(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON document without its field `checksum`, as hexadecimal digits.

    It is of the document's content, however that is spaced and in whatever order its keys stand.

    Parameters
    ----------
    document : mapping
        JSON-ready values; tuples are lists.
    """
    rest = {name: value for name, value in document.items() if name != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
