"""`tvm-sparse batch`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from text_artifact import build_text_artifact

import tvm_sparse
from tvm_sparse.batch.record import BatchRecord
from tvm_sparse.errors import BuildError
from tvm_sparse.records.read import read_record

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return build_text_artifact(tmp_path_factory.mktemp("batch"))


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_in_are_rows_out_and_errors(encoder, tmp_path, invoke):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"t": "the ferry", "n": 1}\n{"t": 7}\nno\n{"n": 2}\n{"t": "bread", "row": 3}\n'
    )
    out, record = tmp_path / "out", tmp_path / "record.json"
    arguments = ("--model", encoder, "--column", "t", "--no-ray")
    more = ("--json", record, "--price-per-core-hour", "0.05", "-q")
    result = invoke("batch", path, "-o", out, *arguments, *more)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"5 rows in = 1 rows out + 4 errors, in {out}\n")
    assert "for a million rows at 0.05 per core-hour" in result.out
    (row,) = lines(out / "part-000000.jsonl")
    wanted = tvm_sparse.load(encoder).encode("the ferry")
    np.testing.assert_allclose(row.pop("prediction"), wanted, atol=1e-6)
    assert row == {"row": f"{path}:1", "t": "the ferry", "n": 1}
    errors = lines(out / "errors.jsonl")
    assert [error["error"].partition(":")[0] for error in errors] == [
        "column 't' holds no text",
        "the line is no JSON",
        "there is no column 't'",
        "the column 'row' has the name of one that is written",
    ]
    assert errors[0]["values"] == {"t": 7}
    found = read_record(record, BatchRecord, BuildError, "")
    assert (found.rows_in, found.rows_out, found.errors, found.ray) == (5, 1, 4, "")
    assert found.cost is not None


def test_bad_input_is_one_line(encoder, invoke, tmp_path):
    (tmp_path / "file").write_text("")
    ferries = tmp_path / "ferries.txt"
    ferries.write_text("the ferry\n")
    (tmp_path / "a.csv").write_text("id,body\n1,a\n")
    (tmp_path / "a.jsonl").write_text('no\n{"id": 1}\n{"body": "a"}\n')
    parquet.write_table(pyarrow.table({"id": [1], "body": ["a"]}), tmp_path / "a.parquet")
    build, out = ("--model", encoder), ("-o", tmp_path / "out")
    unmade = ("-o", tmp_path / "unmade")
    for arguments, message in [
        ((ferries, *out, "--model", tmp_path / "none"), "no artifact directory"),
        ((tmp_path / "none.txt", *out, *build), "there are no files there"),
        ((tmp_path / "file", *out, *build), "files are read that end with .txt"),
        *[
            ((ferries, tmp_path / f"a.{kind}", *unmade, *build), "--column one of id, body\n")
            for kind in ("csv", "jsonl", "parquet")
        ],
        ((ferries, *out, *build, "--column", "t"), "no column 't': give --column one of text"),
        ((ferries, *out, *build, "--task", "fill-mask"), "is a model for encoder"),
        ((ferries, *out, *build, "--top-k", "2"), "sentence-embedding has no option top_k"),
        ((ferries, *out, *build, "--no-ray", "--actors", "2"), "give one of the two"),
        ((ferries, "-o", tmp_path / "file", *build, "--no-ray"), "cannot be written"),
        ((ferries, *out, *build, "--no-ray", "--threads-per-actor", "999"), "threads 999 given"),
    ]:
        result = invoke("batch", *arguments)
        assert (result.code, result.out) == (2, ""), arguments
        assert result.err.startswith("error: ")
        assert message in result.err
        assert result.err.count("\n") == 1
    assert not (tmp_path / "unmade").exists()
