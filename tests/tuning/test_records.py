"""Measurements on disk: kept per machine, damaged ones named, foreign ones refused."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tvm_sparse.cache.store import Cache
from tvm_sparse.tuning.machine import MachineId
from tvm_sparse.tuning.records import Records

pytestmark = pytest.mark.unit

HERE = MachineId("EPYC", "x86-64-v4", 2)
THERE = MachineId("Xeon", "x86-64-v4", 8)
IDENTITY = {"sparsity": 0.5}


@dataclass(frozen=True)
class Point:
    latency_ms: float


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def records(cache_dir, warnings) -> Records:
    return Records(Cache(cache_dir, warnings.append), warnings.append, HERE)


def test_what_was_saved_is_found_again(records):
    assert records.load("point", IDENTITY, Point) is None
    key = records.save("point", IDENTITY, Point(3.0))
    assert records.load("point", IDENTITY, Point) == Point(3.0)
    assert key == records.key("point", IDENTITY)
    assert records.load("kernel", IDENTITY, Point) is None
    assert records.load("point", {"sparsity": 0.6}, Point) is None


def test_another_machine_has_records_of_its_own(records, cache_dir):
    records.save("point", IDENTITY, Point(3.0))
    assert Records(Cache(cache_dir), machine=THERE).load("point", IDENTITY, Point) is None


def test_records_of_another_machine_are_refused_with_the_reason(records, cache_dir):
    key = Records(Cache(cache_dir), machine=THERE).save("point", IDENTITY, Point(3.0))
    records.note_foreign("point", [{"sparsity": 0.6}])
    assert records.refused == []
    records.note_foreign("point", [IDENTITY])
    assert records.refused == [
        f"record bench/{key} is left out: it was measured on another machine "
        "(cpu_model 'Xeon' there and 'EPYC' here, cores 8 there and 2 here)"
    ]


def test_a_record_that_was_moved_from_another_machine_is_not_used(records, cache_dir, warnings):
    foreign = Records(Cache(cache_dir), machine=THERE)
    key = foreign.save("point", IDENTITY, Point(3.0))
    document = json.loads((cache_dir / "bench" / key / "record.json").read_text())
    with records.cache.create("bench", records.key("point", IDENTITY)) as staging:
        (staging.path / "record.json").write_text(json.dumps(document))
    assert records.load("point", IDENTITY, Point) is None
    assert "it was measured on another machine: cpu_model 'Xeon' there" in warnings[-1]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema_version": 1}', b"[]", b"\xff\xff"])
def test_a_damaged_record_is_named_and_measured_again(records, warnings, damage):
    key = records.save("point", IDENTITY, Point(3.0))
    path = records.cache.get("bench", key).file("record.json")
    path.write_bytes(damage)
    assert records.load("point", IDENTITY, Point) is None
    assert key in warnings[-1]
    assert "damaged" in warnings[-1]
    records.save("point", IDENTITY, Point(4.0))
    assert records.load("point", IDENTITY, Point) == Point(4.0)


@pytest.mark.parametrize("content", ["[]", '{"schema_version": 1}', "no json"])
def test_an_intact_file_that_is_no_record_is_named(records, warnings, content):
    key = records.key("point", IDENTITY)
    with records.cache.create("bench", key) as staging:
        (staging.path / "record.json").write_text(content)
    assert records.load("point", IDENTITY, Point) is None
    assert f"record bench/{key} cannot be used and is measured again" in warnings[-1]


def test_a_record_of_another_schema_version_is_not_used(records, warnings):
    key = records.key("point", IDENTITY)
    with records.cache.create("bench", key) as staging:
        (staging.path / "record.json").write_text('{"schema_version": 99}')
    assert records.load("point", IDENTITY, Point) is None
    assert "schema version 99, 2 is needed" in warnings[-1]


def test_a_measurement_of_another_form_is_not_used(records, warnings):
    records.save("point", IDENTITY, MachineId("EPYC", "x86-64-v4", 2))
    assert records.load("point", IDENTITY, Point) is None
    assert "the point: Object missing required field latency_ms" in warnings[-1]
