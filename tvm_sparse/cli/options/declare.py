"""How flags that several commands share are declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Command = Callable[..., Any]
Option = Callable[[Command], Command]


def add(command: Command, *options: Option) -> Command:
    """Return the command with options, which its help lists in the order given."""
    for option in reversed(options):
        command = option(command)
    return command
