"""Names from files and arguments come out as text, whatever is in them."""

from __future__ import annotations

import re

# All that moves a cursor, starts a command of the terminal, turns the order of letters round or
# cannot be encoded. Line breaks and tabs are ours.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return a text with its control characters written out, as Python does."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
