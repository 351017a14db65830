"""Measure how much builds and other engines answer in all: streams, saturated, in turns."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tvm_sparse.bench.contention import Contention
from tvm_sparse.bench.disturbance import Disturbance, Timed, judge, until_quiet
from tvm_sparse.bench.rounds import DROPPED_PER_ROUND, MIN_ROUNDS
from tvm_sparse.bench.worker_process import Arrays, WorkerProcess
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.progress import ShareProgress, steps
from tvm_sparse.runtime.measure import LatencyStats, measure_summary
from tvm_sparse.runtime.streams import runs_per_s, threads_of_each
from tvm_sparse.words import counted

#: Long enough that ends, at which not all streams run, are short beside it.
_ROUND_S = 1.0

#: Loads a build or an engine for so many threads a run.
Start = Callable[[int], WorkerProcess]


@dataclass(frozen=True)
class StreamRecord:
    """One of several streams that ran at the same time.

    Attributes
    ----------
    items_per_s : float
        Batch items per second.
    iterations : int
        Its measured runs.
    median, p90, p99 : float
        Of its latencies, in milliseconds.
    """

    items_per_s: float
    iterations: int
    median: float
    p90: float
    p99: float


@dataclass(frozen=True)
class StreamsRecord:
    """What several streams answer together, each on cores of its own and never idle.

    Attributes
    ----------
    streams, threads : int
        How many there are, and the threads of each.
    items_per_s : float
        Batch items per second, of all streams together.
    latency_ms : LatencyStats
        Of the runs of all streams, in milliseconds.
    round_items_per_s : tuple of float
        Of each round; round i of one build ran next to round i of the other.
    each : tuple of StreamRecord
        The streams.
    disturbance : Disturbance
        What tells of something else on the machine, of all that took turns together.
    """

    streams: int
    threads: int
    items_per_s: float
    latency_ms: LatencyStats
    round_items_per_s: tuple[float, ...]
    each: tuple[StreamRecord, ...]
    disturbance: Disturbance


@dataclass
class _Samples:
    """Samples of a build in milliseconds: of each round, those of each stream."""

    rounds: list[list[list[float]]] = field(default_factory=list)

    @property
    def all_ms(self) -> list[float]:
        return [sample for streams in self.rounds for one in streams for sample in one]

    @property
    def share_s(self) -> float:
        """Seconds measured so far, of a stream."""
        return sum(sum(one) for streams in self.rounds for one in streams[:1]) / 1e3

    @property
    def count(self) -> int:
        """Runs so far, of a stream."""
        return sum(len(streams[0]) for streams in self.rounds)


def stream_counts(spec: BenchSpec, cores: int) -> list[int]:
    """Return the numbers of streams to measure, which share so many cores.

    Raises
    ------
    ConfigError
        There are fewer cores than streams.
    """
    if isinstance(spec.streams, str):
        return sorted({1 << n for n in range(cores.bit_length())} | {cores})
    for streams in spec.streams:
        threads_of_each(streams, cores)
    return list(dict.fromkeys(spec.streams))


def measure_streams(
    starts: Mapping[str, Start],
    inputs: Mapping[str, Arrays],
    batch: int,
    cores: int,
    spec: BenchSpec,
    progress: ShareProgress,
) -> dict[str, tuple[StreamsRecord, ...]]:
    """Measure the throughput of builds in turns, at each number of streams that is asked for.

    Parameters
    ----------
    starts : mapping of str to callable
        By name, what loads a build.
    inputs : mapping of str to mapping
        By name, what it is run on.
    batch : int
        Items of a run.
    cores : int
        Cores that the streams share.
    spec : BenchSpec
        Which numbers, and how long to measure each build at each; `iterations` are of a stream.
    progress : callable
        Receives a line of text and the finished share, 0..1.

    Raises
    ------
    ConfigError
        There are fewer cores than streams.
    BuildError
        If a worker dies.
    """
    found: dict[str, list[StreamsRecord]] = {name: [] for name in starts}
    for streams in stream_counts(spec, cores):
        threads = threads_of_each(streams, cores)
        with contextlib.ExitStack() as stack:
            workers: dict[str, WorkerProcess] = {}
            for name, start in starts.items():
                progress(f"loading {name}, {counted(streams, 'stream')}", 0.0)
                workers[name] = start(threads)
                stack.callback(workers[name].close)
                workers[name].bind(inputs[name])
                workers[name].stream(streams, threads)
            measured, disturbance = until_quiet(
                lambda workers=workers, streams=streams: _measure(  # type: ignore[misc]
                    workers, streams, spec, progress
                ),
                steps(progress),
            )
        for name, samples in measured.items():
            found[name].append(_record(samples, streams, threads, batch, disturbance))
    return {name: tuple(records) for name, records in found.items()}


def _measure(
    workers: Mapping[str, WorkerProcess], streams: int, spec: BenchSpec, progress: ShareProgress
) -> tuple[dict[str, _Samples], Disturbance]:
    text = f"measuring {counted(streams, 'stream')}"
    for name, worker in workers.items():
        if spec.warmup_s:
            progress(f"warming up {name}, {counted(streams, 'stream')}", 0.0)
            worker.saturate(spec.warmup_s)
    contention = Contention([worker.pid for worker in workers.values()])
    measured = {name: _Samples() for name in workers}
    round_s = min(_ROUND_S, spec.time_s / MIN_ROUNDS)

    def share(samples: _Samples) -> float:
        if spec.iterations is not None:
            return samples.count / spec.iterations
        return samples.share_s / spec.time_s

    while any(share(samples) < 1 for samples in measured.values()):
        for name, worker in workers.items():
            samples = measured[name]
            if share(samples) >= 1:
                continue
            limit = None
            if spec.iterations is not None:
                left = spec.iterations - samples.count
                limit = min(left, math.ceil(spec.iterations / MIN_ROUNDS))
            samples.rounds.append(worker.saturate(round_s, DROPPED_PER_ROUND, limit))
        progress(text, min(1.0, *(share(samples) for samples in measured.values())))
    timed = {
        name: Timed(samples.all_ms, [1e3 / runs_per_s(one) for one in samples.rounds])
        for name, samples in measured.items()
    }
    return measured, judge(timed, contention.share)


def _record(
    samples: _Samples, streams: int, threads: int, batch: int, disturbance: Disturbance
) -> StreamsRecord:
    by_stream = [
        [sample for one in samples.rounds for sample in one[index]] for index in range(streams)
    ]
    return StreamsRecord(
        streams=streams,
        threads=threads,
        items_per_s=batch * runs_per_s(by_stream),
        latency_ms=measure_summary(samples.all_ms),
        round_items_per_s=tuple(batch * runs_per_s(one) for one in samples.rounds),
        each=tuple(_stream(one, batch) for one in by_stream),
        disturbance=disturbance,
    )


def _stream(samples_ms: Sequence[float], batch: int) -> StreamRecord:
    median, p90, p99 = (float(value) for value in np.percentile(samples_ms, [50, 90, 99]))
    return StreamRecord(batch * runs_per_s([samples_ms]), len(samples_ms), median, p90, p99)
