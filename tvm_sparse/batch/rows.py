"""The rows of a part of the input."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from tvm_sparse.batch.parts import Part
from tvm_sparse.batch.storage import open_storage

#: A field of a CSV file may be a whole book.
_MOST_FIELD = 1 << 30
#: The column of a file of texts.
TEXT = "text"


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes
    ----------
    name : str
        The file and the row's number there, from 1.
    values : dict
        Its columns; of a row that cannot be read, `line` is what there is.
    error : str
        Why it cannot be read, else empty.
    """

    name: str
    values: dict[str, Any]
    error: str = ""


def read_rows(part: Part) -> list[Row]:
    """Read the rows of a part.

    Raises
    ------
    OSError, ValueError
        The file cannot be read any more; of pyarrow too.
    """
    reader = _READERS[part.kind]
    return [
        Row(f"{part.path}:{part.first_row + place}", values, error)
        for place, (values, error) in enumerate(reader(part))
    ]


_Found = tuple[dict[str, Any], str]


def _texts(part: Part) -> Iterator[_Found]:
    for line in _split(_content(part)):
        text, error = _decoded(line)
        yield ({"line": text} if error else {TEXT: text}), error


def _json_lines(part: Part) -> Iterator[_Found]:
    for line in _split(_content(part)):
        text, error = _decoded(line)
        if not error:
            try:
                values = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError) as fault:
                error = f"the line is no JSON: {fault}"
            else:
                if isinstance(values, dict):
                    yield values, ""
                    continue
                error = "the line is no JSON object"
        yield {"line": text}, error


def _csv_rows(part: Part) -> Iterator[_Found]:
    csv.field_size_limit(_MOST_FIELD)
    # What is no UTF-8 becomes surrogates, by which its row is known.
    text = _content(part).decode("utf-8", "surrogateescape")
    count = 0
    for fields in csv.reader(io.StringIO(text, newline="")):
        count += 1
        line = ",".join(fields)
        if len(fields) != len(part.header):
            error = f"{len(fields)} fields found, the header has {len(part.header)}"
            yield {"line": _printable(line)}, error
        elif _printable(line) != line:
            yield {"line": _printable(line)}, "the line is no UTF-8 text"
        else:
            yield dict(zip(part.header, fields, strict=True)), ""
    if count != part.rows:
        raise ValueError(f"{count} rows found, {part.rows} expected: quotes do not match")


def _table_rows(part: Part) -> Iterator[_Found]:
    from pyarrow import parquet

    system, path = open_storage(part.path)
    with system.open_input_file(path) as file:
        table = parquet.ParquetFile(file).read_row_group(part.group)
        for values in table.slice(part.start, part.stop - part.start).to_pylist():
            yield values, ""


_READERS: dict[str, Callable[[Part], Iterator[_Found]]] = {
    "txt": _texts,
    "jsonl": _json_lines,
    "csv": _csv_rows,
    "parquet": _table_rows,
}


def _content(part: Part) -> bytes:
    system, path = open_storage(part.path)
    with system.open_input_file(path) as file:
        file.seek(part.start)
        content: bytes = file.read(part.stop - part.start)
    if len(content) != part.stop - part.start:
        raise ValueError("the file is shorter than it was")
    return content


def _split(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix(b"\r") for line in lines]


def _decoded(line: bytes) -> tuple[str, str]:
    """Return a line as a text, and what is wrong with it."""
    try:
        return line.decode(), ""
    except UnicodeDecodeError:
        return line.decode("utf-8", "replace"), "the line is no UTF-8 text"


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
