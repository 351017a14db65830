"""Resumable measuring, with a measuring function that is made up."""

from __future__ import annotations

import pytest
from study_parts import make_measurement

from tvm_sparse.cache.store import Cache
from tvm_sparse.errors import BuildError
from tvm_sparse.tuning.machine import MachineId
from tvm_sparse.tuning.records import Records
from tvm_sparse.whatif.grid import Grid, Point
from tvm_sparse.whatif.point_results import Measurement
from tvm_sparse.whatif.sweep import describe_duration, load_points, measure_points

pytestmark = pytest.mark.unit

POINTS = Grid((0.5, 0.7, 0.9), ((4, 1),), (8,), (1,), (1,)).points


def identity(point: Point) -> dict[str, object]:
    return {"sparsity": {"sparsity": point.sparsity}, "model": {"model": "m"}}


class FakeMeasure:
    """Counts what it is asked for; fails at one point."""

    def __init__(self, fail_at: float | None = None, error: BaseException | None = None) -> None:
        self.asked: list[float] = []
        self.fail_at, self.error = fail_at, error
        self.disturbed = False

    def __call__(self, point: Point) -> Measurement:
        self.asked.append(point.sparsity)
        if point.sparsity == self.fail_at and self.error is not None:
            raise self.error
        return make_measurement(10.0 - 5 * point.sparsity, self.disturbed)


@pytest.fixture
def records(cache_dir) -> Records:
    return Records(Cache(cache_dir), machine=MachineId("EPYC", "x86-64-v4", 2))


def test_every_point_is_measured_once_and_reused(records):
    measure = FakeMeasure()
    first = measure_points(records, POINTS, identity, measure)
    assert measure.asked == [0.5, 0.7, 0.9]
    assert first[POINTS[0]].measurement == make_measurement(7.5)
    assert measure_points(records, POINTS, identity, measure) == first
    assert measure.asked == [0.5, 0.7, 0.9]
    # Another study with other points beside.
    more = Grid((0.7, 0.8), ((4, 1),), (8,), (1,), (1,)).points
    measure_points(records, more, identity, measure)
    assert measure.asked[3:] == [0.8]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BuildError("the worker died")])
def test_what_was_measured_before_an_interruption_is_kept(records, error):
    lines: list[str] = []
    with pytest.raises(type(error)):
        measure_points(records, POINTS, identity, FakeMeasure(0.9, error), lines.append)
    assert list(load_points(records, POINTS, identity)) == POINTS[:2]
    assert lines[-1] == "2 of 3 points are kept; the same command goes on there"
    measure = FakeMeasure()
    assert len(measure_points(records, POINTS, identity, measure, lines.append)) == 3
    assert measure.asked == [0.9]
    assert "2 of 3 points taken from the cache" in lines


def test_a_damaged_point_alone_is_measured_again(records):
    measure_points(records, POINTS, identity, FakeMeasure())
    key = records.key("point", identity(POINTS[1]))
    records.cache.get("bench", key).file("record.json").write_text("{")
    measure = FakeMeasure()
    measure_points(records, POINTS, identity, measure)
    assert measure.asked == [0.7]


def test_disturbed_points_are_measured_again_when_asked(records):
    measure = FakeMeasure()
    measure.disturbed = True
    measure_points(records, POINTS, identity, measure)
    measure.disturbed, measure.asked = False, []
    measure_points(records, POINTS, identity, measure)
    assert measure.asked == []
    assert load_points(records, POINTS, identity, again=True) == {}
    again = measure_points(records, POINTS, identity, measure, again=True)
    assert measure.asked == [0.5, 0.7, 0.9]
    assert not any(kept.measurement.disturbed for kept in again.values())


def test_progress_tells_the_time_left(records):
    lines: list[str] = []
    clock = iter([0.0, 100.0, 200.0])
    measure_points(
        records, POINTS, identity, FakeMeasure(), lines.append, clock_s=lambda: next(clock)
    )
    assert [line.partition(":")[0] for line in lines] == [
        "measuring point 1 of 3",
        "measuring point 2 of 3, 3 min left",
        "measuring point 3 of 3, 2 min left",
    ]


def test_durations_are_told_in_their_unit():
    assert [describe_duration(s) for s in (5, 120, 7200)] == ["5 s", "2 min", "2.0 h"]
