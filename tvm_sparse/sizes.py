"""Sizes as they are written: block shapes, shapes of inputs, and ranges."""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass

from tvm_sparse.errors import ConfigError


def parse_block_shape(text: str) -> tuple[int, int]:
    """Return the block shape in a text such as `16x1`.

    Raises
    ------
    ConfigError
        If it is none.
    """
    return _pair(text, "block shape", "rows x columns, for example 1x1, 4x1 or 16x1")


def parse_block_shapes(text: str) -> tuple[tuple[int, int], ...]:
    """Return the block shapes in a text such as `4x1,16x1`; see `parse_block_shape`."""
    return tuple(parse_block_shape(part) for part in text.split(",") if part.strip())


def block_name(block_shape: tuple[int, int]) -> str:
    """Return the name of a block shape: 4x1."""
    return f"{block_shape[0]}x{block_shape[1]}"


@dataclass(frozen=True)
class Extent:
    """A size that is given, or the largest of a range from 1 on."""

    most: int
    is_open: bool = False

    def __str__(self) -> str:
        return f"1:{self.most}" if self.is_open else str(self.most)


def parse_extent(name: str, text: str) -> Extent:
    """Return the size in a text such as `128`, or the range in one such as `1:512` or `:512`.

    Raises
    ------
    ConfigError
        If it is neither, or a range that does not begin at 1.
    """
    found = re.fullmatch(r"(?:(\d{0,13})(:))?(\d{1,13})", text.strip(), re.ASCII)
    if found is None or found[1] not in (None, "", "1"):
        raise ConfigError(
            f"{name} {reprlib.repr(text)} given: write a number, or a range from 1 such as 1:512"
        )
    return Extent(int(found[3]), found[2] is not None)


def parse_shape(text: str) -> tuple[int, int]:
    """Return the shape (batch, seq_len) in a text such as `8x384`.

    Raises
    ------
    ConfigError
        If it is none.
    """
    return _pair(text, "shape", "sequences x tokens, for example 1x16 or 8x384")


def parse_shapes(text: str) -> tuple[tuple[int, int], ...]:
    """Return the shapes (batch, seq_len) in a text such as `1x16,8x384`.

    Raises
    ------
    ConfigError
        If one is none.
    """
    return tuple(map(parse_shape, text.split(",")))


def _pair(text: str, what: str, form: str) -> tuple[int, int]:
    found = re.fullmatch(r"0*([1-9]\d{0,8})x0*([1-9]\d{0,8})", text.strip().lower(), re.ASCII)
    if found is None:
        raise ConfigError(f"{what} {reprlib.repr(text)} given: write {form}")
    return int(found[1]), int(found[2])
