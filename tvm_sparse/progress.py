"""How work tells what it does: the functions that receive its words."""

from __future__ import annotations

from collections.abc import Callable

#: Told one line a step.
Progress = Callable[[str], None]
#: Told a line of text and the finished share, 0..1.
ShareProgress = Callable[[str, float], None]


def steps(progress: ShareProgress) -> Progress:
    """Return a progress of steps, none of which tells how far it is."""
    return lambda line: progress(line, 0.0)


def silent(*_words: object) -> None:
    """Tell nobody."""
