"""The block shape: in one flag or in two, the same for every command."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from tvm_sparse.cli.main import cli
from tvm_sparse.cli.options.blocks import block_list_option, block_option
from tvm_sparse.errors import ConfigError

pytestmark = pytest.mark.unit


@click.command()
@block_option
def one(block_shape):
    click.echo(block_shape)


@click.command()
@block_list_option
def several(block_shapes):
    click.echo(block_shapes)


def ask(command: click.Command, flags: str) -> str:
    result = CliRunner().invoke(command, flags.split(), catch_exceptions=False)
    return result.output.strip()


@pytest.mark.parametrize(
    ("flags", "shape"),
    [
        ("--bs-r 4", (4, 1)),
        ("--bs-c 2", (1, 2)),
        ("--bs-r 4 --bs-c 2", (4, 2)),
        ("--block 4x2", (4, 2)),
        ("--block 4x2 --bs-r 4", (4, 2)),
        ("--block 4x2 --bs-c 2 --bs-r 4", (4, 2)),
    ],
)
def test_one_flag_or_two_say_the_same(flags, shape):
    assert ask(one, flags) == str(shape)
    assert ask(several, flags) == str((shape,))


@pytest.mark.parametrize("command", [one, several])
def test_none_given_is_left_to_the_command(command):
    assert ask(command, "") == ""


def test_a_list_of_block_shapes():
    assert ask(several, "--block 4x1,16x2") == str(((4, 1), (16, 2)))
    with pytest.raises(ConfigError, match="--block 4x1,16x2 given: one block shape is needed"):
        ask(one, "--block 4x1,16x2")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--block 4x1 --bs-r 8", "--block 4x1 and --bs-r 8 given, which contradict each other"),
        ("--block 4x1 --bs-r 0", "--block 4x1 and --bs-r 0 given, which contradict each other"),
        ("--block 4x1 --bs-r 8 --bs-c 2", "--block 4x1 and --bs-r 8 and --bs-c 2 given"),
        ("--bs-r 0", "block shape 0x1 given: bs-r and bs-c must be at least 1"),
        ("--block 4", "block shape '4' given: write rows x columns"),
    ],
)
def test_contradictions_are_refused(flags, message):
    for command in (one, several):
        with pytest.raises(ConfigError, match=message):
            ask(command, flags)


def test_every_command_that_takes_blocks_takes_them_alike():
    flags = {
        name: {o for p in cli.get_command(None, name).params for o in p.opts}
        for name in cli.list_commands(None)
    }
    takes_some = {name for name in flags if flags[name] & {"--block", "--bs-r", "--bs-c"}}
    assert takes_some >= {"run", "export", "tune", "prune", "analyze", "what-if"}
    assert all(flags[name] >= {"--block", "--bs-r", "--bs-c"} for name in takes_some)
