"""Measure points one after the other, each kept as soon as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvm_sparse.progress import Progress, silent
from tvm_sparse.tuning.records import Records
from tvm_sparse.whatif.grid import Point
from tvm_sparse.whatif.point_results import Measurement

#: Builds and measures one point.
MeasurePoint = Callable[[Point], Measurement]


@dataclass(frozen=True)
class Kept:
    """A measured point and the key of its record."""

    measurement: Measurement
    record: str


def load_points(
    records: Records,
    points: Sequence[Point],
    identity: Callable[[Point], Mapping[str, Any]],
    again: bool = False,
) -> dict[Point, Kept]:
    """Return the points that were measured before, on this machine and with this code.

    Parameters
    ----------
    records : Records
        Where they are kept; damaged ones are named and count as not measured.
    points : sequence of Point
        Those to look for.
    identity : callable
        Everything the measurement of a point depends on, JSON-ready.
    again : bool
        Leave out those that something disturbed.
    """
    found = {}
    for point in points:
        measurement = records.load("point", identity(point), Measurement)
        if measurement is not None and not (again and measurement.disturbed):
            found[point] = Kept(measurement, records.key("point", identity(point)))
    return found


def measure_points(
    records: Records,
    points: Sequence[Point],
    identity: Callable[[Point], Mapping[str, Any]],
    measure: MeasurePoint,
    progress: Progress = silent,
    again: bool = False,
    clock_s: Callable[[], float] = time.monotonic,
) -> dict[Point, Kept]:
    """Measure those points that were not yet; return all.

    An interrupt loses the point under way alone: the next call goes on from there.

    Parameters
    ----------
    records : Records
        Receives every point as soon as it is measured.
    points : sequence of Point
        What to measure, in order.
    identity : callable
        As `load_points` takes it.
    measure : callable
        Builds and measures one point.
    progress : callable
        Receives a line per point with the time left.
    again : bool
        Measure points again that something disturbed.
    clock_s : callable
        Monotonic clock in seconds.

    Raises
    ------
    TvmSparseError
        Whatever `measure` raises; the points before are kept.
    """
    done = load_points(records, points, identity, again)
    left = [point for point in points if point not in done]
    if done:
        progress(f"{len(done)} of {len(points)} points taken from the cache")
    start = clock_s()
    for index, point in enumerate(left):
        left_s = (clock_s() - start) / index * (len(left) - index) if index else None
        remaining = f", {describe_duration(left_s)} left" if left_s is not None else ""
        progress(f"measuring point {index + 1} of {len(left)}{remaining}: {point}")
        try:
            measurement = measure(point)
        except BaseException:
            # Not KeyboardInterrupt alone: one that passes through TVM comes out as another error.
            progress(
                f"{len(done)} of {len(points)} points are kept; the same command goes on there"
            )
            raise
        spec = {
            "model": identity(point).get("model", {}),
            "sparsity": identity(point).get("sparsity"),
        }
        key = records.save("point", identity(point), measurement, spec)
        done[point] = Kept(measurement, key)
    return done


def describe_duration(seconds: float) -> str:
    """Return a duration in words: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
