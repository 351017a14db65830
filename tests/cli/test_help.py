"""What `--help` says, of the program and of every command it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tvm_sparse.cli.main import cli

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parents[1] / "golden"


def commands(group: click.Group = cli, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, those of the groups too."""
    yield words
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name)


def golden(words: tuple[str, ...]) -> str:
    return "-".join(("help", *words)) + ".txt"


@pytest.mark.parametrize("words", list(commands()), ids=golden)
def test_help(words, invoke, check_golden) -> None:
    result = invoke(*words, "-h")
    assert (result.code, result.err) == (0, "")
    check_golden(golden(words), result.out)


def test_no_help_of_a_command_that_is_gone_is_kept() -> None:
    assert {path.name for path in GOLDEN.glob("help*")} == {golden(words) for words in commands()}
