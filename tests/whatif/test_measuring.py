"""What is measured at a bad moment is measured again, and the best is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from study_parts import LATENCY_MS, make_record

from tvm_sparse.bench.record import BenchRecord
from tvm_sparse.config import BenchSpec
from tvm_sparse.whatif import measuring
from tvm_sparse.whatif.measuring import make_measurement, measure_quietly

pytestmark = pytest.mark.unit


class _QuietHost:
    share, is_high = 0.0, False


def record_of(*rounds_ms: float) -> BenchRecord:
    """A record of a dense build, and of a sparse one that takes a fifth."""
    record = make_record()
    dense = replace(record.builds["dense"], round_median_ms=rounds_ms)
    sparse = replace(
        dense,
        round_median_ms=tuple(ms / 5 for ms in rounds_ms),
        calls=tuple(replace(call, latency_ms=call.latency_ms / 5) for call in dense.calls),
    )
    return replace(record, builds={"dense": dense, "sparse": sparse})


@pytest.fixture
def measured(monkeypatch):
    """Return what measures with the given outcomes and tells what came of it and how often."""
    monkeypatch.setattr(measuring, "Contention", _QuietHost)

    def run(outcomes: Sequence[BenchRecord], pace_ms: float | None = None):
        left = list(outcomes)
        monkeypatch.setattr(measuring, "benchmark", lambda *_, **__: left.pop(0))
        lines: list[str] = []
        record, disturbed = measure_quietly({}, {}, BenchSpec(), 1, lines.append, pace_ms)
        return record, disturbed, len(outcomes) - len(left), lines

    return run


def test_an_even_measurement_is_enough(measured):
    even = record_of(*[LATENCY_MS] * 5)
    assert measured([even]) == (even, False, 1, [])


def test_a_few_good_rounds_are_enough(measured):
    some = record_of(LATENCY_MS, LATENCY_MS, *[1.4 * LATENCY_MS] * 8)
    assert measured([some])[1:3] == (False, 1)
    measurement = make_measurement(some, False, 1.0)
    assert measurement.dense_latency_ms == pytest.approx(LATENCY_MS)
    assert measurement.speedup == pytest.approx(5.0)
    assert sum(measurement.parts_ms.values()) == pytest.approx(measurement.latency_ms)


def test_a_slow_measurement_is_repeated(measured):
    slow, even = record_of(*[1.4 * LATENCY_MS] * 5), record_of(*[LATENCY_MS] * 5)
    record, disturbed, times, lines = measured([slow, even])
    assert (record, disturbed, times) == (even, False, 2)
    assert lines == ["something else keeps the machine busy: measuring again"]


def test_the_least_bad_is_kept_and_marked(measured):
    outcomes = [record_of(*[by * LATENCY_MS] * 5) for by in (1.4, 1.2, 1.3, 1.5)]
    record, disturbed, times, _ = measured(outcomes)
    assert (record, disturbed, times) == (outcomes[1], True, 4)


def test_a_dense_build_slower_than_it_was_tells_of_a_busy_machine(measured):
    even = record_of(*[LATENCY_MS] * 5)
    assert measured([even] * 4, pace_ms=0.8 * LATENCY_MS)[1:3] == (True, 4)
    assert measured([even], pace_ms=LATENCY_MS)[1:3] == (False, 1)
