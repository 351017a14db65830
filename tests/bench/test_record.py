from __future__ import annotations

import json
from pathlib import Path

import pytest
from example_record import example_record

from tvm_sparse.bench.record import BenchRecord, load_record, paired_speedups
from tvm_sparse.errors import ConfigError
from tvm_sparse.records.write import write_json

pytestmark = pytest.mark.unit


def test_round_trip(tmp_path: Path) -> None:
    record = example_record()
    write_json(tmp_path / "record.json", record.to_json())
    assert load_record(tmp_path / "record.json") == record


def test_the_json_has_the_documented_fields() -> None:
    document = json.loads(json.dumps(example_record().to_json()))
    assert next(iter(document)) == "schema_version"
    assert set(document) >= {
        *("schema_version", "model", "weights", "spec", "builds", "speedup"),
        *("decisions", "sparse_flops_share", "environment"),
    }
    assert set(document["builds"]) == {"dense", "sparse"}
    assert set(document["builds"]["dense"]["latency_ms"]) == {
        *("mean", "median", "std", "min", "max", "p90", "p95", "p99", "samples")
    }
    text = (Path(__file__).parents[2] / "docs" / "benchmark-record.md").read_text()
    for name in (*document, *document["builds"]["dense"], *document["environment"]):
        assert f"`{name}`" in text, f"{name} is not documented"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "schema version None, 1 is needed"),
        ({"schema_version": 7}, "schema version 7, 1 is needed"),
        ({"schema_version": 1}, "no complete benchmark record"),
        ({**example_record().to_json(), "environment": {}}, "no complete benchmark record"),
        ({**example_record().to_json(), "surprise": 1}, "no complete benchmark record"),
    ],
)
def test_what_is_no_record(document: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BenchRecord.from_json(document)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_record(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        load_record(tmp_path / "bad.json")


def test_paired_rounds_cancel_what_slowed_both() -> None:
    assert paired_speedups([10, 20, 40, 99], [5, 10, 20]) == (2.0, 2.0)
    low, high = paired_speedups([10, 10], [10, 5])
    assert (low, high) == pytest.approx((1.1, 1.9))
