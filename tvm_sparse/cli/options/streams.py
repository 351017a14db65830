"""How many streams to measure the throughput of."""

from __future__ import annotations

import reprlib
from typing import Literal

import click

from tvm_sparse.errors import ConfigError


def _streams(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> Literal["auto"] | tuple[int, ...]:
    if value is None:
        return ()
    if value.strip() == "auto":
        return "auto"
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise ConfigError(
            f"--streams {reprlib.repr(value)} given: write numbers of streams such as 1,4, or auto"
        )
    return tuple(map(int, parts))


streams_option = click.option(
    "--streams",
    callback=_streams,
    metavar="N,...|auto",
    help="Measure the throughput too, of so many runs at a time, each pinned to its share of the "
    "cores; auto is 1, 2, 4 and so on up to a stream a core.",
)
