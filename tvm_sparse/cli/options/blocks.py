"""Which blocks of weights, and which layers: --block, --bs-r, --bs-c, --include, --exclude."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from tvm_sparse.cli.options.declare import Command, Option, add, optional
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.sizes import block_name, parse_block_shapes

BlockShape = tuple[int, int]

threshold_option = optional(
    *("--threshold", float, "FRACTION"),
    "A layer runs sparse when its *block sparsity*, the share of its blocks that are all "
    "zero, is at least this, 0..1.",
)
include_option = click.option(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help="Only layers whose name or role (query, intermediate, ...) matches this shell pattern are "
    "pruned or run sparse; may be given more than once.",
)
exclude_option = click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Layers whose name or role matches stay as they are; may be given more than once.",
)


def block_option(command: Command) -> Command:
    """Add the block, as `block_shape`, None where there is none."""
    described = (
        "Weights pruned together: outputs x inputs of a layer.  [default: that of a pruned "
        "model's pruning.json, else 1x1]"
    )
    return _block_options("ROWSxCOLUMNS", described, "block_shape", _one)(command)


def block_list_option(command: Command) -> Command:
    """Add a list of blocks, as `block_shapes`, None where there is none."""
    described = "Block shapes.  [default: 1x1,4x1,16x1,32x1, with --quantize 1x1,4x1,1x4,4x4]"
    return _block_options("LIST", described, "block_shapes", lambda shapes: shapes)(command)


def _block_options(
    metavar: str, described: str, name: str, convert: Callable[[tuple[BlockShape, ...] | None], Any]
) -> Option:
    def add_options(command: Command) -> Command:
        @functools.wraps(command)
        def with_blocks(**flags: Any) -> Any:
            shapes = _shapes(flags.pop("block"), flags.pop("bs_r"), flags.pop("bs_c"))
            return command(**{name: convert(shapes)}, **flags)

        return add(
            with_blocks,
            click.option("--block", metavar=metavar, help=described),
            _part("--bs-r", "rows"),
            _part("--bs-c", "columns"),
        )

    return add_options


def _part(flag: str, what: str) -> Option:
    return optional(flag, int, "N", f"Instead of --block: {what} of one block, by default 1.")


def _shapes(
    text: str | None, rows: int | None, columns: int | None
) -> tuple[BlockShape, ...] | None:
    """Return the block shapes that --block, --bs-r and --bs-c ask for together.

    Raises ConfigError if they contradict each other, or one is no block shape.
    """
    parts = {"--bs-r": rows, "--bs-c": columns}
    said = " and ".join(f"{flag} {n}" for flag, n in parts.items() if n is not None)
    if text is None:
        return (_shape(rows, columns),) if said else None
    shapes = parse_block_shapes(text)
    if any(rows not in (None, r) or columns not in (None, c) for r, c in shapes):
        raise ConfigError(
            f"--block {text} and {said} given, which contradict each other: give one of the two"
        )
    return shapes


def _shape(rows: int | None, columns: int | None) -> BlockShape:
    # The spec knows what values are allowed.
    given = (1 if rows is None else rows, 1 if columns is None else columns)
    return SparsitySpec(block_shape=given).block_shape


def _one(shapes: tuple[BlockShape, ...] | None) -> BlockShape | None:
    if shapes is None:
        return None
    if len(shapes) != 1:
        names = ",".join(map(block_name, shapes))
        raise ConfigError(f"--block {names} given: one block shape is needed, for example 4x1")
    return shapes[0]
