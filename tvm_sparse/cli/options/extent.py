"""Sizes and ranges of sizes, and shapes to measure at."""

from __future__ import annotations

import click

from tvm_sparse.cli.options.declare import Option
from tvm_sparse.sizes import (
    Extent,
    parse_extent,
    parse_shape,
    parse_shapes,
)


def extent_option(flag: str, default: int, described: str) -> Option:
    """Return what adds an option that is a size or a range of sizes from 1 on, an `Extent`."""
    return click.option(
        flag,
        callback=_extent,
        default=str(default),
        show_default=True,
        metavar="N|1:N",
        help=described,
    )


def _extent(_context: click.Context, parameter: click.Parameter, value: str) -> Extent:
    return parse_extent(parameter.opts[0].lstrip("-"), value)


def _shapes(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> tuple[tuple[int, int], ...] | None:
    return None if value is None else parse_shapes(value)


def _shape(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    return None if value is None else parse_shape(value)


shape_option = click.option(
    "--shape",
    callback=_shape,
    metavar="NxS",
    help="Of a build of any length: sequences x tokens to measure at, for example 8x384; one text "
    "of 128 tokens by default.",
)
shapes_option = click.option(
    "--shape",
    "shapes",
    callback=_shapes,
    metavar="NxS,...",
    help="Of a build of any length: sequences x tokens to measure at, for example 1x16,8x384; "
    "one text of 128 tokens by default.",
)
