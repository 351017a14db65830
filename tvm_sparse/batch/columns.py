"""Whether the files of the input have the columns that are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tvm_sparse.batch.asking import Question
from tvm_sparse.batch.parts import Part
from tvm_sparse.batch.rows import TEXT, read_rows
from tvm_sparse.errors import ConfigError, InputError

#: So much of a file of JSON lines is looked at: its rows may differ.
_HEAD_BYTES = 1 << 20
#: So many columns are named to choose from.
_MOST_NAMED = 20


def check_columns(parts: Iterable[Part], question: Question) -> None:
    """Refuse a file without the columns of a question, before there is work.

    A row of JSON lines that lacks one, among rows that have it, is one that cannot be answered, and
    not for here.

    Raises
    ------
    ConfigError
        Naming the columns that there are.
    InputError
        A file cannot be read any more.
    """
    flags = {question.column: "--column", question.pair_column: "--pair-column"}
    for part in parts:
        if part.first_row != 1:
            continue
        names = _names(part)
        for column in question.columns:
            if names and column not in names:
                more = ", ..." if len(names) > _MOST_NAMED else ""
                raise ConfigError(
                    f"{part.path} has no column {column!r}: give {flags[column]} one of "
                    f"{', '.join(names[:_MOST_NAMED])}{more}"
                )


def _names(part: Part) -> list[str]:
    """Return the columns of a file, by its first part; none if that has no row to tell by."""
    if part.kind == "txt":
        return [TEXT]
    if part.kind != "jsonl":
        return list(part.header)
    try:
        rows = read_rows(replace(part, stop=min(part.stop, part.start + _HEAD_BYTES)))
    except (OSError, ValueError) as error:
        raise InputError(f"{part.path} cannot be read: {error}") from None
    return list(dict.fromkeys(name for row in rows if not row.error for name in row.values))
