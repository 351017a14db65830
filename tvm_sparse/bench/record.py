"""The record of one benchmark, and its JSON form.

The form is documented in docs/benchmark-record.md; a change of it needs a new `schema_version`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tvm_sparse.bench.disturbance import Disturbance, Timed, tenth_percentile
from tvm_sparse.bench.environment import Environment
from tvm_sparse.bench.output_error import OutputError
from tvm_sparse.bench.throughput import StreamsRecord
from tvm_sparse.errors import ConfigError
from tvm_sparse.formats.builds import DENSE
from tvm_sparse.model.decision import Decision
from tvm_sparse.model.facts import ModelDescription, WeightsFacts
from tvm_sparse.records.read import read_record
from tvm_sparse.runtime.measure import LatencyStats
from tvm_sparse.runtime.metadata import CallTime


@dataclass(frozen=True)
class Speedup:
    """How many times as fast a build is as the dense one that was measured beside it.

    Attributes
    ----------
    ratio : float
        Of the median latencies.
    undisturbed : float
        Of the tenth percentiles, which a busy machine falsifies less.
    p10, p90 : float
        Percentiles of the ratio taken round by round, which cancels what slowed both.
    """

    ratio: float
    undisturbed: float
    p10: float
    p90: float


@dataclass(frozen=True)
class BuildRecord:
    """What was measured of one build.

    Attributes
    ----------
    latency_ms : LatencyStats
        Of all measured iterations, in milliseconds.
    items_per_s : float
        Batch items per second: batch size over the mean latency.
    iterations : int
        Number of measured iterations.
    round_median_ms : tuple of float
        Median latency of each round; round i of one build ran next to round i of the other.
    weights_bytes, size_on_disk_bytes : int
        Size of the weights in memory, and of `model.so`, weights included.
    compile_s, load_s : float
        Seconds for compiling the build, and for loading it in its worker process.
    peak_memory_bytes : int
        Largest resident memory of the worker process, interpreter included.
    calls : tuple of CallTime
        Times of the kernel calls in order; empty unless profiling was asked for.
    streams : tuple of StreamsRecord
        Throughput, by the number of streams; empty unless it was asked for.
    speedup : Speedup or None
        Over the dense build; None unless that was measured too.
    errors : dict of str to OutputError
        How far its outputs are from the dense build's, by name; empty unless that was measured too.
    """

    latency_ms: LatencyStats
    items_per_s: float
    iterations: int
    round_median_ms: tuple[float, ...]
    weights_bytes: int
    size_on_disk_bytes: int
    compile_s: float
    load_s: float
    peak_memory_bytes: int
    calls: tuple[CallTime, ...] = ()
    streams: tuple[StreamsRecord, ...] = ()
    speedup: Speedup | None = None
    errors: dict[str, OutputError] = field(default_factory=dict)

    @property
    def error(self) -> OutputError | None:
        """That of its first output, such as the hidden states; None where nothing was compared."""
        return next(iter(self.errors.values()), None)

    @property
    def undisturbed_ms(self) -> float:
        """Its latency as if nothing else ran, see `tenth_percentile`."""
        return tenth_percentile(self.round_median_ms)

    @property
    def timed(self) -> Timed:
        """What tells how disturbed the measurement was.

        Watching calls takes time, so that a profile still faster is of a better moment.
        """
        profile_ms = sum(call.latency_ms for call in self.calls) or float("inf")
        return Timed(self.latency_ms.samples, self.round_median_ms, profile_ms)


@dataclass(frozen=True)
class BenchRecord:
    """One benchmark of one or more builds of a model.

    Attributes
    ----------
    created : str
        Time of the measurement, ISO 8601 in UTC.
    model : ModelDescription
        Which model.
    weights : WeightsFacts
        Where its weights come from.
    spec : dict
        As in the artifact's metadata, and the `bench` spec.
    builds : dict of str to BuildRecord
        By name of the build, the dense one first.
    decisions : tuple of Decision
        One per weight, from the last build: the one that changes most.
    sparse_flops_share : float
        Share of the model's FLOPs that runs in sparse kernels, 0..1.
    environment : Environment
        Where and with what it ran.
    disturbance : Disturbance
        What tells of something else on the machine.
    check : dict or None
        Result of comparing the builds' outputs beforehand, None when that was not done.
    """

    schema_version: Literal[5] = field(default=5, kw_only=True)
    created: str
    model: ModelDescription
    weights: WeightsFacts
    spec: dict[str, Any]
    builds: dict[str, BuildRecord]
    environment: Environment
    disturbance: Disturbance
    decisions: tuple[Decision, ...] = ()
    sparse_flops_share: float = 0.0
    check: dict[str, Any] | None = None

    @property
    def others(self) -> list[str]:
        """The builds that the dense one is compared with; empty unless it was measured."""
        others = [name for name in self.builds if name != DENSE.name]
        return others if DENSE.name in self.builds else []

    @property
    def speedup(self) -> float | None:
        """How many times as fast as dense the first of the others is; None without one."""
        found = self.builds[self.others[0]].speedup if self.others else None
        return found.ratio if found else None

    @property
    def batch(self) -> int:
        """Items per iteration."""
        return int(self.spec.get("model", {}).get("batch", 1))

    @property
    def seq_len(self) -> int:
        """Tokens of each item; 0 if it is no text."""
        return int(self.spec.get("model", {}).get("seq_len") or 0)


@dataclass(frozen=True)
class ShapesRecord:
    """Benchmarks of the same builds at several shapes.

    Attributes
    ----------
    records : tuple of BenchRecord
        One a shape, in the order in which they were asked for; `spec.model` of each has its shape.
    """

    schema_version: Literal[1] = field(default=1, kw_only=True)
    records: tuple[BenchRecord, ...]


def paired_speedups(dense_ms: Sequence[float], sparse_ms: Sequence[float]) -> tuple[float, float]:
    """Return the 10th and 90th percentile of the round-by-round speed-up.

    Parameters
    ----------
    dense_ms, sparse_ms : sequence of float
        Median latency of each round, in milliseconds; round i of both ran side by side. Surplus
        rounds of the longer one are left out.
    """
    rounds = min(len(dense_ms), len(sparse_ms))
    ratios = np.asarray(dense_ms[:rounds]) / np.asarray(sparse_ms[:rounds])
    low, high = np.percentile(ratios, [10, 90])
    return float(low), float(high)


def load_record(path: str | Path) -> BenchRecord:
    """Read a record that `tvm-sparse bench --json` wrote.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no record of this schema version.
    """
    advice = "give a file that `tvm-sparse bench --json` of this version wrote"
    return read_record(path, BenchRecord, ConfigError, advice)
