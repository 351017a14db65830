"""What a benchmark of two builds says about a point."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study_parts import BUSY, LATENCY_MS, make_record

from tvm_sparse.bench.disturbance import AGAIN
from tvm_sparse.bench.record import BenchRecord
from tvm_sparse.whatif.measuring import make_measurement, repetitions

pytestmark = pytest.mark.unit


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


def test_a_point_is_told_by_its_good_rounds():
    some = record_of(LATENCY_MS, LATENCY_MS, *[1.4 * LATENCY_MS] * 8)
    measurement = make_measurement(some, 1.0)
    assert measurement.dense_latency_ms == pytest.approx(LATENCY_MS)
    assert measurement.speedup == pytest.approx(5.0)
    assert sum(measurement.parts_ms.values()) == pytest.approx(measurement.latency_ms)
    assert not measurement.disturbed
    assert make_measurement(replace(some, disturbance=BUSY), 1.0).disturbed


def test_only_repetitions_are_told():
    lines: list[str] = []
    tell = repetitions(lines.append)
    for text in ("loading dense", AGAIN, "measuring dense and sparse"):
        tell(text, 0.5)
    assert lines == [AGAIN]
