from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import numpy as np
import pytest

from tvm_sparse.runtime.measure import measure_latency, measure_summary

pytestmark = pytest.mark.unit


def fake_clock(durations_ms: list[float]) -> Callable[[], int]:
    """A clock read before and after each call, which took the given time."""
    steps = [0.0]
    for duration_ms in durations_ms:
        steps += [duration_ms, 0.0]
    readings = iter([int(t * 1e6) for t in accumulate(steps)])
    return lambda: next(readings)


def test_statistics_are_numpys() -> None:
    samples = [3.0, 1.0, 2.0, 10.0]
    stats = measure_summary(samples)
    assert (stats.mean, stats.median, stats.min, stats.max) == (4.0, 2.5, 1.0, 10.0)
    assert stats.std == pytest.approx(np.std(samples, ddof=1))
    assert (stats.p10, stats.p90) == pytest.approx((1.3, 7.9))
    assert stats.p95 == pytest.approx(np.percentile(samples, 95))
    assert stats.p99 == pytest.approx(np.percentile(samples, 99))
    assert stats.samples == tuple(samples)


def test_one_sample_and_none() -> None:
    stats = measure_summary([2.0])
    assert (stats.std, stats.p99) == (0.0, 2.0)
    with pytest.raises(ValueError, match="no samples"):
        measure_summary([])


def test_measures_until_the_time_is_up() -> None:
    calls: list[int] = []
    clock = fake_clock([400.0, 500.0, 200.0, 1.0])
    samples = measure_latency(lambda: calls.append(1), 1.0, clock_ns=clock)
    assert samples == [400.0, 500.0, 200.0]
    assert len(calls) == 3


def test_at_least_one_and_at_most_so_many() -> None:
    assert measure_latency(lambda: None, 0.001, clock_ns=fake_clock([5000.0])) == [5000.0]
    clock = fake_clock([1.0] * 9)
    assert measure_latency(lambda: None, 99.0, max_iterations=4, clock_ns=clock) == [1.0] * 4


def test_dropped_calls_are_made_and_not_timed() -> None:
    calls: list[int] = []
    clock = fake_clock([7.0])
    samples = measure_latency(
        lambda: calls.append(1), 9.0, drop=2, max_iterations=1, clock_ns=clock
    )
    assert samples == [7.0]
    assert len(calls) == 3
