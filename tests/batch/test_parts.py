"""Parts of the input: whatever it is cut into, each row is read once."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tvm_sparse.batch import parts as cutting
from tvm_sparse.batch.parts import cut, find_sources
from tvm_sparse.batch.rows import Row, read_rows
from tvm_sparse.errors import ConfigError, InputError

pytestmark = pytest.mark.unit

FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let parts be as small as a test wants, and chunks end within rows."""
    monkeypatch.setattr(cutting, "_LEAST_BYTES", 1)
    monkeypatch.setattr(cutting, "_CHUNK_BYTES", 5)


def rows_of(path: Path, count: int) -> list[Row]:
    parts = list(cut(find_sources([str(path)])[0], count))
    rows = [read_rows(part) for part in parts]
    assert [len(some) for some in rows] == [part.rows for part in parts]
    found = [row for some in rows for row in some]
    assert [row.name for row in found] == [f"{path}:{i + 1}" for i in range(len(found))]
    return found


@given(
    lines=st.lists(FIELD.map(lambda s: s.replace("\n", "").rstrip("\r"))), count=st.integers(1, 9)
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines(lines, count, end, tmp_path_factory):
    path = tmp_path_factory.mktemp("lines") / "texts.txt"
    path.write_bytes("".join(line + end for line in lines).encode())
    if not path.stat().st_size:
        assert rows_of(path, count) == []
        return
    assert [row.values["text"] for row in rows_of(path, count)] == lines


@given(table=st.lists(st.tuples(FIELD, FIELD), min_size=1), count=st.integers(1, 9))
def test_csv_with_quoted_line_breaks(table, count, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("id", "text"), *table])
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    found = [(row.values["id"], row.values["text"]) for row in rows_of(path, count)]
    assert found == table


def test_rows_that_cannot_be_read_are_errors(tmp_path):
    jsonl, table = tmp_path / "a.jsonl", tmp_path / "b.csv"
    jsonl.write_bytes(b'{"text": "a", "n": 1}\n\n[1]\n{"text": \n{"text": "\xff"}\n{"text": "z"}')
    table.write_bytes(b'text,n\na,1\nb\n"c,\n",3\n\xff,4\n')
    first, second = rows_of(jsonl, 3), rows_of(table, 3)
    assert first[0].values == {"text": "a", "n": 1}
    assert first[5].values == {"text": "z"}
    assert [row.error.partition(":")[0] for row in first[1:5]] == [
        "the line is no JSON",
        "the line is no JSON object",
        "the line is no JSON",
        "the line is no UTF-8 text",
    ]
    assert [row.error for row in second] == [
        "",
        "1 fields found, the header has 2",
        "",
        "the line is no UTF-8 text",
    ]


def test_parquet(tmp_path):
    path = tmp_path / "table.parquet"
    values = [{"text": f"text {i}", "n": i} for i in range(100)]
    parquet.write_table(pa.Table.from_pylist(values), path, row_group_size=30)
    for count in (1, 4, 50):
        assert [row.values for row in rows_of(path, count)] == values


def test_files_directories_and_patterns(tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    for name in ("in/b.txt", "in/deep/a.jsonl", "in/README", "in/.hidden.txt"):
        (tmp_path / name).write_text(json.dumps({"text": name}) + "\n")
    sources, unread = find_sources([str(tmp_path / "in")])
    assert [Path(source.path).name for source in sources] == ["b.txt", "a.jsonl"]
    assert [Path(path).name for path in unread] == ["README"]
    sources, _ = find_sources([str(tmp_path / "in/**/*.jsonl"), str(tmp_path / "in/b.txt")])
    assert [source.kind for source in sources] == ["jsonl", "txt"]
    with pytest.raises(ConfigError, match=r"README given: files are read that end with \.txt"):
        find_sources([str(tmp_path / "in/README")])
    for missing in ("none.txt", "*.csv", "s3//none"):
        with pytest.raises(InputError):
            find_sources([str(tmp_path / missing)])


def test_damaged_files_are_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "b.csv").write_text("text,text\na,b\n")
    for name, message in (("a.parquet", "cannot be read"), ("b.csv", "a name of its own")):
        with pytest.raises(InputError, match=message):
            list(cut(find_sources([str(tmp_path / name)])[0], 1))
