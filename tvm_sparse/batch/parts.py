"""The parts that the input is cut into: each is read, answered and written by itself."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import numpy as np

from tvm_sparse.batch.storage import expand, first_line, open_storage
from tvm_sparse.errors import ConfigError, InputError

#: By the ends of files' names.
KINDS = {
    ".txt": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}
_CHUNK_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: Smaller parts are not worth their overhead; larger ones are much to do again.
_LEAST_BYTES, _MOST_BYTES = 1 << 14, 8 << 20
#: Reading a part of a row group decodes all of it.
_MOST_CUTS_OF_A_GROUP = 16


@dataclass(frozen=True)
class Part:
    """Some rows of a file that follow one another.

    Attributes
    ----------
    index : int
        Its place among all parts.
    path, kind : str
        The file, and how it is read: a value of `KINDS`.
    start, stop : int
        Bytes of the file; of parquet the rows of a row group.
    first_row, rows : int
        The number of its first row in the file, from 1, and how many there are.
    group : int
        The row group of a parquet file.
    header : tuple of str
        The columns of a CSV or parquet file.
    """

    index: int
    path: str
    kind: str
    start: int
    stop: int
    first_row: int
    rows: int
    group: int = 0
    header: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A file of the input.

    Attributes
    ----------
    path, kind : str
        Where it is, and how it is read.
    size : int
        Its bytes.
    """

    path: str
    kind: str
    size: int


def find_sources(addresses: Iterable[str]) -> tuple[list[Source], list[str]]:
    """Return the files of the input, and those of its directories that are not read.

    Raises
    ------
    InputError, ConfigError
        There are none, or one that is named is of no kind that is read.
    """
    sources, unread = [], []
    for address in addresses:
        for path, size, named in expand(address):
            kind = KINDS.get(PurePosixPath(path).suffix.lower())
            if kind:
                sources.append(Source(path, kind, size))
            elif named:
                raise ConfigError(f"{path} given: files are read that end with {', '.join(KINDS)}")
            else:
                unread.append(path)
    if not sources:
        raise InputError(f"no file given that ends with {', '.join(KINDS)}")
    return list(dict.fromkeys(sources)), unread


def cut(sources: list[Source], count: int) -> Iterator[Part]:
    """Yield the parts of files.

    Lines are found, and row groups looked up, here; nothing else is read.

    Parameters
    ----------
    sources : list of Source
        The files.
    count : int
        About how many parts to make of all, if that makes them neither small nor large.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    total = sum(source.size for source in sources)
    target = min(max(total // max(count, 1), _LEAST_BYTES), _MOST_BYTES)
    index = 0
    for source in sources:
        cutter = _cut_groups if source.kind == "parquet" else _cut_lines
        try:
            for part in cutter(source, target):
                yield Part(index, source.path, source.kind, **part)
                index += 1
        except (OSError, ValueError) as error:  # of pyarrow too
            raise InputError(f"{source.path} cannot be read: {first_line(error)}") from None


def _cut_lines(source: Source, target: int) -> Iterator[dict[str, Any]]:
    """Yield parts of whole lines; in a CSV file a quoted line break ends none."""
    system, path = open_storage(source.path)
    with system.open_input_stream(path) as stream:
        begin = len(_BYTE_ORDER_MARK) if stream.read(3) == _BYTE_ORDER_MARK else 0
    header: tuple[str, ...] = ()
    start, first_row, rows, last = begin, 1, 0, begin
    with system.open_input_stream(path) as stream:
        for end in _row_ends(stream, begin, source.kind == "csv"):
            if source.kind == "csv" and not header:
                header = _header(source, system, path, begin, end)
                start = last = end
                continue
            rows, last = rows + 1, end
            if end - start >= target:
                yield _lines(start, end, first_row, rows, header)
                start, first_row, rows = end, first_row + rows, 0
    if rows:
        yield _lines(start, last, first_row, rows, header)


def _lines(
    start: int, stop: int, first_row: int, rows: int, header: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "start": start,
        "stop": stop,
        "first_row": first_row,
        "rows": rows,
        "header": header,
    }


def _row_ends(stream: IO[bytes], begin: int, quoted: bool) -> Iterator[int]:
    """Yield where each row ends, behind its line break."""
    position, odd, end = begin, 0, begin
    stream.read(begin)
    while chunk := stream.read(_CHUNK_BYTES):
        data = np.frombuffer(chunk, np.uint8)
        ends = np.flatnonzero(data == ord("\n"))
        if quoted:
            quotes = np.flatnonzero(data == ord('"'))
            inside = (np.searchsorted(quotes, ends) + odd) % 2
            odd = (odd + len(quotes)) % 2
            ends = ends[inside == 0]
        for end in (ends + (position + 1)).tolist():
            yield end
        position += len(chunk)
    if position > end:
        yield position


def _header(source: Source, system: Any, path: str, begin: int, end: int) -> tuple[str, ...]:
    with system.open_input_file(path) as file:
        file.seek(begin)
        line = file.read(end - begin)
    try:
        names = next(csv.reader(io.StringIO(line.decode(), newline="")), [])
    except UnicodeDecodeError:
        raise InputError(f"{source.path} is no CSV file in UTF-8: its header is none") from None
    if len({*names}) != len(names) or not all(names):
        raise InputError(
            f"{source.path}: the first line names the columns {', '.join(names)!r}: give each a "
            "name of its own"
        )
    return tuple(names)


def _cut_groups(source: Source, target: int) -> Iterator[dict[str, Any]]:
    """Yield parts of the row groups of a parquet file."""
    from pyarrow import parquet

    system, path = open_storage(source.path)
    with system.open_input_file(path) as file:
        found = parquet.ParquetFile(file)
        metadata, header = found.metadata, tuple(found.schema_arrow.names)
    first_row = 1
    for group in range(metadata.num_row_groups):
        facts = metadata.row_group(group)
        wanted = max(1, -(-facts.total_byte_size // target))
        step = -(-facts.num_rows // min(wanted, _MOST_CUTS_OF_A_GROUP))
        for start in range(0, facts.num_rows, max(step, 1)):
            stop = min(start + step, facts.num_rows)
            yield {
                "start": start,
                "stop": stop,
                "first_row": first_row + start,
                "rows": stop - start,
                "group": group,
                "header": header,
            }
        first_row += facts.num_rows
