"""How work tells what it does: the functions that receive its words."""

from __future__ import annotations

from collections.abc import Callable

#: Told one line a step.
Progress = Callable[[str], None]
#: Told a line of text and the finished share, 0..1.
ShareProgress = Callable[[str, float], None]


def silent(*_words: object) -> None:
    """Tell nobody."""
