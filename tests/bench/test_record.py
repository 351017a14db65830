from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from example_record import example_record

from tvm_sparse.bench.record import load_record, paired_speedups
from tvm_sparse.errors import ConfigError
from tvm_sparse.records.write import write_json

pytestmark = pytest.mark.unit


def test_round_trip(tmp_path: Path) -> None:
    record = example_record()
    write_json(tmp_path / "record.json", record)
    assert load_record(tmp_path / "record.json") == record


def test_the_json_has_the_documented_fields() -> None:
    document = asdict(example_record())
    assert next(iter(document)) == "schema_version"
    text = (Path(__file__).parents[2] / "docs" / "benchmark-record.md").read_text()
    for name in (*document, *document["builds"]["dense"], *document["environment"]):
        assert f"`{name}`" in text, f"{name} is not documented"


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_json(path, {**asdict(example_record()), "environment": {}})
    with pytest.raises(ConfigError, match=f"^{path}: environment: .*: give a file that `tvm-spar"):
        load_record(path)


def test_paired_rounds_cancel_what_slowed_both() -> None:
    assert paired_speedups([10, 20, 40, 99], [5, 10, 20]) == (2.0, 2.0)
    low, high = paired_speedups([10, 10], [10, 5])
    assert (low, high) == pytest.approx((1.1, 1.9))
