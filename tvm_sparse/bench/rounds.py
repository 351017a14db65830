"""Loaded models take turns being measured: A B C A B C, in short rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tvm_sparse.bench.contention import Contention
from tvm_sparse.bench.disturbance import Disturbance, Timed, judge
from tvm_sparse.bench.worker_process import WorkerProcess
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.progress import ShareProgress

#: Long enough that the dropped first iteration costs little, short enough for many pairs.
ROUND_S = 0.3
#: The first iteration of a round meets cold caches and threads that sleep.
DROPPED_PER_ROUND = 1
#: A short measurement is split all the same, so that the builds take turns.
MIN_ROUNDS = 5

_NAMES_SHOWN = 3


@dataclass
class RoundSamples:
    """What one worker has measured so far.

    Attributes
    ----------
    samples_ms : list of float
        All samples, in milliseconds.
    round_median_ms : list of float
        Median of each round.
    """

    samples_ms: list[float] = field(default_factory=list)
    round_median_ms: list[float] = field(default_factory=list)

    def share(self, spec: BenchSpec) -> float:
        """Return the finished share of the measurement, 1 and more when it is done."""
        if spec.iterations is not None:
            return len(self.samples_ms) / spec.iterations
        return sum(self.samples_ms) / 1e3 / spec.time_s

    @property
    def timed(self) -> Timed:
        """What tells how disturbed the measurement was."""
        return Timed(self.samples_ms, self.round_median_ms)


def measure_rounds(
    workers: Mapping[str, WorkerProcess], spec: BenchSpec, report: ShareProgress
) -> tuple[dict[str, RoundSamples], Disturbance]:
    """Warm up every worker, then measure them in turns until each has what `spec` asks for.

    Once; `until_quiet` measures again if the result is disturbed.

    Parameters
    ----------
    workers : mapping of str to WorkerProcess
        Loaded, with inputs bound.
    spec : BenchSpec
        How long to measure.
    report : callable
        Receives a line of text and the finished share, 0..1.

    Raises
    ------
    BuildError
        If a worker dies.
    """
    for name, worker in workers.items():
        if spec.warmup_s:
            report(f"warming up {name}", 0.0)
            worker.measure(spec.warmup_s)
    contention = Contention([worker.pid for worker in workers.values()])
    few = len(workers) <= _NAMES_SHOWN
    text = f"measuring {' and '.join(workers) if few else f'{len(workers)} in turns'}"
    measured = {name: RoundSamples() for name in workers}
    round_s = min(ROUND_S, spec.time_s / MIN_ROUNDS)
    while any(samples.share(spec) < 1 for samples in measured.values()):
        for name, worker in workers.items():
            samples = measured[name]
            if samples.share(spec) >= 1:
                continue
            limit = None
            if spec.iterations is not None:
                left = spec.iterations - len(samples.samples_ms)
                limit = min(left, math.ceil(spec.iterations / MIN_ROUNDS))
            taken = worker.measure(round_s, DROPPED_PER_ROUND, limit)
            samples.samples_ms += taken
            samples.round_median_ms.append(float(np.median(taken)))
        share = min(samples.share(spec) for samples in measured.values())
        report(text, min(share, 1.0))
    timed = {name: samples.timed for name, samples in measured.items()}
    return measured, judge(timed, contention.share)
