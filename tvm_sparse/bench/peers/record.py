"""The record of one comparison of engines, and its JSON form.

The form is documented in docs/benchmarks/README.md; a change of it needs a new `schema_version`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tvm_sparse.bench.disturbance import Disturbance
from tvm_sparse.bench.environment import Environment
from tvm_sparse.bench.output_error import OutputError
from tvm_sparse.bench.throughput import StreamsRecord
from tvm_sparse.errors import ConfigError
from tvm_sparse.model.facts import WeightsFacts
from tvm_sparse.records.read import read_record

# A tenth of a microsecond: finer than any clock used, and half the size on disk.
_SAMPLE_DIGITS = 4


@dataclass(frozen=True)
class Latency:
    """Latency samples of one engine, in milliseconds, and what is said about them.

    Attributes
    ----------
    median, p10, p90, mean, min, iterations
        Of all samples; percentiles are interpolated linearly.
    round_median
        Median of each round; round i of all engines ran next to each other.
    samples
        In the order they were taken.
    """

    median: float
    p10: float
    p90: float
    mean: float
    min: float
    iterations: int
    round_median: tuple[float, ...]
    samples: tuple[float, ...]


@dataclass(frozen=True)
class EngineResult:
    """One engine at one number of threads.

    Attributes
    ----------
    name, label
        The engine, and how a table shows it.
    threads
        Threads it ran on.
    status : {"measured", "not installed", "failed"}
        A peer that is not installed, or does not run or compute the same, is a result too.
    detail
        Why it was not measured.
    precision : {"fp32", "int8"}
        Of the products.
    is_rival
        Whether it is an open dense fp32 engine that ours is compared with.
    sparsity, block_shape
        Block sparsity of the weights and (bs_r, bs_c), None for the dense checkpoint.
    version
        Of the engine.
    max_absolute_error, reference
        Largest difference on the same weights, over all outputs, and from what.
    error : OutputError or None
        How far its first output, such as the hidden states, is from the same; None unless measured.
    latency_ms
        None unless measured.
    load_s
        Seconds for loading it in its process; what it compiles at its first run is not in it.
    peak_memory_bytes
        Largest resident memory of its process.
    facts
        How it runs: operator counts and the like.
    disturbance : Disturbance or None
        What tells of something else on the machine, of all that took turns together; None unless
        measured, and in records from before it was judged.
    streams : tuple of StreamsRecord
        Throughput, by the number of streams; empty unless asked for, and for engines of which
        streams are not measured.
    """

    name: str
    label: str
    threads: int
    status: str
    detail: str = ""
    precision: str = "fp32"
    is_rival: bool = False
    sparsity: float | None = None
    block_shape: tuple[int, int] | None = None
    version: str | None = None
    max_absolute_error: float | None = None
    reference: str = ""
    error: OutputError | None = None
    latency_ms: Latency | None = None
    load_s: float | None = None
    peak_memory_bytes: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    disturbance: Disturbance | None = None
    streams: tuple[StreamsRecord, ...] = ()


@dataclass(frozen=True)
class PeersRecord:
    """One comparison: every engine on the same weights, inputs and threads.

    Attributes
    ----------
    created
        ISO 8601 in UTC.
    subject
        What was measured: a model's name, or "products".
    spec, weights
        What was asked for (model spec, threads, bench spec), and where the weights come from.
    results
        In the order of the table; one per engine and number of threads.
    environment
        Where it ran; its `threads` is the largest number used.
    """

    schema_version: Literal[2] = field(default=2, kw_only=True)
    created: str
    subject: str
    spec: dict[str, Any]
    weights: WeightsFacts
    results: tuple[EngineResult, ...]
    environment: Environment

    @property
    def threads(self) -> list[int]:
        """Numbers of threads measured, in order."""
        return list(dict.fromkeys(result.threads for result in self.results))

    def at(self, threads: int) -> list[EngineResult]:
        """Return the results at a number of threads."""
        return [result for result in self.results if result.threads == threads]

    def disturbance_at(self, threads: int) -> Disturbance | None:
        """Return how disturbed the measurement at a number of threads was, None if unknown."""
        return next((r.disturbance for r in self.at(threads) if r.disturbance), None)


def load_peers_record(path: str | Path) -> PeersRecord:
    """Read a record that `scripts/bench_peers.py` or `tvm-sparse compare --json` wrote.

    Raises ConfigError if the file cannot be read or is no record of this schema version.
    """
    advice = "give a file that scripts/bench_peers.py of this version wrote"
    return read_record(path, PeersRecord, ConfigError, advice)


def summarise(samples_ms: Sequence[float], round_median_ms: Iterable[float]) -> Latency:
    """Return the statistics of at least one latency sample, in milliseconds."""
    values = np.asarray(samples_ms, dtype=np.float64)
    p10, median, p90 = (float(value) for value in np.percentile(values, [10, 50, 90]))
    return Latency(
        median=median,
        p10=p10,
        p90=p90,
        mean=float(values.mean()),
        min=float(values.min()),
        iterations=len(values),
        round_median=tuple(round(value, _SAMPLE_DIGITS) for value in round_median_ms),
        samples=tuple(values.round(_SAMPLE_DIGITS).tolist()),
    )


def best_rival(results: Iterable[EngineResult]) -> EngineResult | None:
    """Return the fastest open dense fp32 engine that was measured, None if there is none."""
    rivals = [result for result in results if result.is_rival and result.latency_ms is not None]
    return min(rivals, key=lambda r: r.latency_ms.median if r.latency_ms else 0.0, default=None)
