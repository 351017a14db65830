"""Numbers and nouns in sentences."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return how many there are of something: 1 build, 2 builds, 3 entries."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"
