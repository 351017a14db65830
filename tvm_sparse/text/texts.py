"""Read the texts a model is judged on: one a line, and their labels."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TypeVar

from tvm_sparse.errors import InputError

#: Separates the two texts of a pair, such as question and context.
PAIR_SEPARATOR = "\t"
_MOST_BYTES = 256 * 1024 * 1024
_STDIN = "standard input"
_Item = TypeVar("_Item")


def read_texts(path: str | os.PathLike[str]) -> list[str]:
    """Read a plain text file, one text a line; empty lines are left out.

    It is UTF-8 text, in which a tab separates the two texts of a pair. `-` is standard input.

    Raises
    ------
    InputError
        The file cannot be read, is binary, is too large, or holds no text.
    """
    texts = [line.strip(" \r\f\v") for line in read_text(path).split("\n")]
    texts = [text for text in texts if text.strip()]
    if not texts:
        name = _STDIN if path == "-" else path
        raise InputError(f"{name} holds no text: one text a line is needed")
    return texts


def take_evenly(items: Sequence[_Item], limit: int | None) -> list[_Item]:
    """Return at most `limit` items spread over all: files are often sorted by topic or length."""
    if limit is None or len(items) <= limit:
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]


def read_labels(path: str | os.PathLike[str], count: int) -> list[str]:
    """Read the labels of so many texts, one a line, in their order; empty lines are left out.

    Raises
    ------
    InputError
        As `read_texts`, or when their number is another.
    """
    labels = read_texts(path)
    if len(labels) != count:
        raise InputError(
            f"{path} holds {len(labels)} labels for {count} texts: one label a line is needed, in "
            "the order of the texts"
        )
    return labels


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a file of UTF-8 text, or standard input by the name of `-`.

    Raises
    ------
    InputError
        It cannot be read, is binary or too large.
    """
    name = _STDIN if path == "-" else str(path)
    try:
        stream = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115
        with stream:
            content = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise InputError(
            f"{name} has more than {_MOST_BYTES >> 20} MB: give a sample, a few hundred texts are "
            "enough"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(f"{name} is no UTF-8 text: save it as such")
    return text
