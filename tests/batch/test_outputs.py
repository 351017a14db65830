"""Files of a job: there whole or not at all, and joined in the order of the input."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pyarrow import parquet

from tvm_sparse.batch.outputs import Outputs

pytestmark = pytest.mark.unit


def test_parts_are_whole_and_joined_in_order(tmp_path):
    outputs = Outputs(str(tmp_path / "out"), "jsonl")
    assert outputs.prepare() == []
    outputs.write_part(1, [{"row": "b", "prediction": np.float32(0.5)}], [])
    outputs.write_part(0, [{"row": "a", "prediction": np.arange(2)}], [{"row": "x", "error": "no"}])
    (tmp_path / f"out/.part-000002.jsonl.{'0' * 32}").write_text("half")
    assert sorted(outputs.prepare()) == [0, 1]
    assert [outputs.count(index) for index in (0, 1)] == [(1, 1), (1, 0)]
    outputs.join_parts(keep_order=True)
    outputs.remove_joined(keep_order=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"rows.jsonl", "errors.jsonl"}
    rows = [json.loads(line) for line in (tmp_path / "out/rows.jsonl").read_text().splitlines()]
    assert rows == [{"row": "a", "prediction": [0, 1]}, {"row": "b", "prediction": 0.5}]


def test_tables_of_unlike_rows_are_joined(tmp_path):
    outputs = Outputs(str(tmp_path), "parquet")
    vector = np.arange(3, dtype=np.float32)
    outputs.write_part(0, [{"row": "a", "n": 1, "mixed": 1, "prediction": vector}], [])
    outputs.write_part(1, [{"row": "b", "n": 0.5, "mixed": 2, "prediction": vector}], [])
    outputs.write_part(2, [{"row": "c", "more": "x", "mixed": 3, "prediction": vector}], [])
    outputs.write_part(3, [], [{"row": "d", "error": "no"}])
    outputs.join_parts(keep_order=True)
    table = parquet.read_table(tmp_path / "rows.parquet")
    assert table["row"].to_pylist() == ["a", "b", "c"]
    assert table["n"].to_pylist() == [1.0, 0.5, None]
    assert table["more"].to_pylist() == [None, None, "x"]
    np.testing.assert_array_equal(table["prediction"].to_pylist(), [vector] * 3)
    mixed = [{"row": "a", "v": 1}, {"row": "b", "v": "text"}]
    outputs.write_part(4, mixed, [])
    assert parquet.read_table(tmp_path / "part-000004.parquet")["v"].to_pylist() == ["1", '"text"']
