"""Timing primitives: samples of one call, and what is said about them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LatencyStats:
    """Statistics of latency samples, all in milliseconds.

    Attributes
    ----------
    mean, median, min, max : float
        Of all samples.
    std : float
        Sample standard deviation (divisor n - 1); 0 for a single sample.
    p10, p90, p95, p99 : float
        Percentiles, interpolated linearly between the two nearest samples.
    samples : tuple of float
        The raw samples in the order they were taken.
    """

    mean: float
    median: float
    std: float
    min: float
    max: float
    p10: float
    p90: float
    p95: float
    p99: float
    samples: tuple[float, ...]


def measure_summary(samples_ms: Sequence[float]) -> LatencyStats:
    """Return the statistics of latency samples.

    Parameters
    ----------
    samples_ms : sequence of float
        At least one sample, in milliseconds.

    Raises
    ------
    ValueError
        If there is no sample.
    """
    if not len(samples_ms):
        raise ValueError("no samples to summarise")
    values = np.asarray(samples_ms, dtype=np.float64)
    p10, p90, p95, p99 = np.percentile(values, [10, 90, 95, 99])
    return LatencyStats(
        mean=float(values.mean()),
        median=float(np.median(values)),
        std=float(values.std(ddof=1)) if values.size > 1 else 0.0,
        min=float(values.min()),
        max=float(values.max()),
        p10=float(p10),
        p90=float(p90),
        p95=float(p95),
        p99=float(p99),
        samples=tuple(values.tolist()),
    )


def measure_latency(
    call: Callable[[], object],
    seconds: float,
    *,
    drop: int = 0,
    max_iterations: int | None = None,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> list[float]:
    """Call repeatedly and return each call's duration in milliseconds.

    Parameters
    ----------
    call : callable
        What to time; its result is dropped.
    seconds : float
        Stop once the kept samples add up to this; at least one is kept.
    drop : int
        Leading calls that are made but not kept: they wake threads and refill caches.
    max_iterations : int or None
        Keep at most so many samples.
    clock_ns : callable
        Monotonic clock in nanoseconds.
    """
    for _ in range(drop):
        call()
    samples: list[float] = []
    total_ms = 0.0
    while True:
        start = clock_ns()
        call()
        elapsed_ms = (clock_ns() - start) / 1e6
        samples.append(elapsed_ms)
        total_ms += elapsed_ms
        if total_ms >= seconds * 1e3 or len(samples) == max_iterations:
            return samples
