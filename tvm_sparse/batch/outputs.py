"""The files of a job: one for each part, complete or not there, and what becomes of them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from tvm_sparse.batch.storage import first_line, join, open_storage
from tvm_sparse.errors import ConfigError

Format = Literal["jsonl", "parquet"]
#: All rows that failed.
ERRORS_FILE = "errors.jsonl"
_PART, _FAULTS, _ROWS = "part", "errors", "rows"
_NAME = re.compile(r"(?P<what>part|errors)-(?P<index>\d{6,})\.(jsonl|parquet)")
_UNFINISHED = re.compile(r"\.(part|errors|rows|job)[-.\w]*\.[0-9a-f]{32}")


@dataclass(frozen=True)
class Outputs:
    """Where the answers of a job go.

    Attributes
    ----------
    directory : str
        The directory; may be one of another file system.
    format : {"jsonl", "parquet"}
        Of the files of rows; those of errors are JSON lines.
    """

    directory: str
    format: Format

    def write_part(
        self, index: int, rows: list[dict[str, Any]], errors: list[dict[str, Any]]
    ) -> None:
        """Write what became of a part; there is a file of rows once all is written.

        Raises
        ------
        OSError
            It cannot be written.
        """
        if errors:
            self.write(f"{_FAULTS}-{index:06}.jsonl", _as_lines(errors))
        name = f"{_PART}-{index:06}.{self.format}"
        self.write(name, _as_lines(rows) if self.format == "jsonl" else _as_table(rows))

    def write(self, name: str, content: bytes) -> None:
        """Write a file so that it appears complete or not at all, whoever else writes it too."""
        system, folder = open_storage(self.directory)
        hidden = join(folder, f".{name}.{uuid.uuid4().hex}")
        with system.open_output_stream(hidden) as stream:
            stream.write(content)
        system.move(hidden, join(folder, name))

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None if there is none."""
        system, folder = open_storage(self.directory)
        try:
            with system.open_input_stream(join(folder, name)) as stream:
                content: bytes = stream.read()
        except FileNotFoundError:
            return None
        return content

    def prepare(self) -> list[int]:
        """Make the directory, remove what unfinished writing left, and return the parts there.

        Raises
        ------
        ConfigError
            It cannot be made or written.
        """
        from pyarrow import fs

        system, folder = open_storage(self.directory)
        parts = []
        try:
            system.create_dir(folder, recursive=True)
            for entry in system.get_file_info(fs.FileSelector(folder)):
                found = _NAME.fullmatch(entry.base_name)
                if _UNFINISHED.fullmatch(entry.base_name):
                    system.delete_file(entry.path)
                elif found and found["what"] == _PART:
                    parts.append(int(found["index"]))
            name = f".{_PART}.{uuid.uuid4().hex}"
            with system.open_output_stream(join(folder, name)) as stream:
                stream.write(b"")
            system.delete_file(join(folder, name))
        except OSError as error:
            raise ConfigError(f"{self.directory} cannot be written: {first_line(error)}") from None
        return parts

    def count(self, index: int) -> tuple[int, int]:
        """Return how many rows and errors there are of a part, counted in its files."""
        name = f"{_PART}-{index:06}.{self.format}"
        errors = (self.read(f"{_FAULTS}-{index:06}.jsonl") or b"").count(b"\n")
        if self.format == "jsonl":
            return (self.read(name) or b"").count(b"\n"), errors
        from pyarrow import parquet

        system, folder = open_storage(self.directory)
        with system.open_input_file(join(folder, name)) as file:
            return parquet.ParquetFile(file).metadata.num_rows, errors

    def join_parts(self, keep_order: bool) -> None:
        """Join the files of errors, and with `keep_order` those of rows, in the input's order.

        Parameters
        ----------
        keep_order : bool
            Whether to make one file of rows.
        """
        faults, names = self._files()
        if faults:
            self._join(faults, ERRORS_FILE)
        if keep_order:
            whole = f"{_ROWS}.{self.format}"
            (self._join if self.format == "jsonl" else self._join_tables)(names, whole)

    def remove_joined(self, keep_order: bool) -> None:
        """Remove the files that `join_parts` has joined."""
        faults, names = self._files()
        system, folder = open_storage(self.directory)
        for name in (*faults, *(names if keep_order else ())):
            system.delete_file(join(folder, name))

    def _files(self) -> tuple[list[str], list[str]]:
        """Return the files of errors and of rows that are there, in the input's order."""
        from pyarrow import fs

        system, folder = open_storage(self.directory)
        entries = system.get_file_info(fs.FileSelector(folder))
        there = sorted(entry.base_name for entry in entries if _NAME.fullmatch(entry.base_name))
        faults = [name for name in there if name.startswith(_FAULTS)]
        return faults, [name for name in there if name.startswith(_PART)]

    def _join(self, names: list[str], target: str) -> None:
        system, folder = open_storage(self.directory)
        hidden = join(folder, f".{target}.{uuid.uuid4().hex}")
        with system.open_output_stream(hidden) as stream:
            for name in names:
                stream.write(self.read(name) or b"")
        system.move(hidden, join(folder, target))

    def _join_tables(self, names: list[str], target: str) -> None:
        import pyarrow
        from pyarrow import parquet

        system, folder = open_storage(self.directory)
        hidden = join(folder, f".{target}.{uuid.uuid4().hex}")
        schemas = []
        for name in names:
            with system.open_input_file(join(folder, name)) as file:
                schemas.append(parquet.ParquetFile(file).schema_arrow)
        schema = pyarrow.unify_schemas(schemas, promote_options="permissive")
        with (
            system.open_output_stream(hidden) as stream,
            parquet.ParquetWriter(stream, schema) as writer,
        ):
            for table in self._tables(names):
                writer.write_table(_cast(table, schema))
        system.move(hidden, join(folder, target))

    def _tables(self, names: list[str]) -> Iterator[Any]:
        from pyarrow import parquet

        system, folder = open_storage(self.directory)
        for name in names:
            with system.open_input_file(join(folder, name)) as file:
                yield parquet.ParquetFile(file).read()


def _as_lines(rows: list[dict[str, Any]]) -> bytes:
    encoder = msgspec.json.Encoder(enc_hook=_plain)
    return b"".join(encoder.encode(row) + b"\n" for row in rows)


def _as_table(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(columns), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _column(values: list[Any]) -> Any:
    import pyarrow

    if values and all(isinstance(value, np.ndarray) and value.ndim == 1 for value in values):
        widths = {len(value) for value in values}
        if len(widths) == 1:
            flat = pyarrow.array(np.concatenate(values))
            return pyarrow.FixedSizeListArray.from_arrays(flat, widths.pop())
    plain = [list(value) if isinstance(value, np.ndarray) else value for value in values]
    try:
        return pyarrow.array(plain)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
        # JSON lines may hold a number here and a text there: a table cannot.
        return pyarrow.array(
            [msgspec.json.encode(value, enc_hook=_plain).decode() for value in plain]
        )


def _cast(table: Any, schema: Any) -> Any:
    import pyarrow

    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pyarrow.nulls(len(table), field.type)
        for field in schema
    ]
    return pyarrow.table(columns, schema=schema)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
