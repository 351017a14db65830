"""How flags that several commands share are declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import click

from tvm_sparse.cli.options.choice import Choice

Command = Callable[..., Any]
Option = Callable[[Command], Command]


def defaulted(flag: str, default: float | str, metavar: str, described: str, **more: Any) -> Option:
    """Return what adds an option of the type of its default, which the help shows."""
    kind = type(default)
    return click.option(
        flag, type=kind, default=default, show_default=True, metavar=metavar, help=described, **more
    )


def optional(flag: str, kind: type, metavar: str, described: str, **more: Any) -> Option:
    """Return what adds an option of a type, None by default."""
    return click.option(flag, type=kind, metavar=metavar, help=described, **more)


def chosen(flag: str, choices: Any, default: str, described: str) -> Option:
    """Return what adds a choice of the values of a `Literal`."""
    kind = Choice(get_args(choices))
    return click.option(flag, type=kind, default=default, show_default=True, help=described)


def add(command: Command, *options: Option) -> Command:
    """Return the command with options, which its help lists in the order given."""
    for option in reversed(options):
        command = option(command)
    return command
