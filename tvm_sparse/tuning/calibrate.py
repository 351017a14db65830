"""Times of single kernels on this machine: from the cache, or from a micro-benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from tvm_sparse.errors import BuildError
from tvm_sparse.progress import Progress, silent
from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.records.read import check_record
from tvm_sparse.tuning.kernel_job import KernelJob
from tvm_sparse.tuning.machine import Ceilings
from tvm_sparse.tuning.plausible import doubtful_jobs
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.timing_process import time_kernels
from tvm_sparse.tuning.tuned_tiles import load_tiles
from tvm_sparse.words import counted

_MODULE = "micro_benchmark"
#: Timings of a kernel until its times are plausible, at most.
TRIES = 3
#: Milliseconds by density of non-zero blocks.
KernelTimes = dict[float, float]


@dataclass(frozen=True)
class TimedKernel:
    """What is kept of a kernel that was timed.

    Its time and the reference kernel's beside it, by density of non-zero blocks, after so many
    tries, and whether something else kept the machine busy or times contradicted each other.
    """

    latency_ms: dict[str, float]
    reference_ms: dict[str, float]
    disturbed: bool
    tries: int = 1

    def beside(self, other: TimedKernel) -> TimedKernel:
        """Return the shorter times of two timings: whatever else runs makes them longer."""
        shorter = {
            density: min(self, other, key=lambda timed: timed.latency_ms[density])
            for density in self.latency_ms
        }
        return TimedKernel(
            {density: timed.latency_ms[density] for density, timed in shorter.items()},
            {density: timed.reference_ms[density] for density, timed in shorter.items()},
            True,
            self.tries + other.tries,
        )


def measured_ceilings(records: Records, threads: int, progress: Progress = silent) -> Ceilings:
    """Return the ceilings of so many threads of this machine, measuring them if it was never done.

    Raises
    ------
    BuildError
        If the measuring process dies.
    """
    identity = {"threads": threads, "code": code_fingerprint("machine")}
    found = records.load("machine", identity, Ceilings)
    if found is None:
        progress(f"measuring what this machine can do at most, {counted(threads, 'thread')}")
        answer = time_kernels(_MODULE, {"ceilings": threads}, threads)
        found = check_record(answer, Ceilings, "the measurement", BuildError)
        records.save("machine", identity, found)
    return found


def measured_kernels(
    records: Records,
    jobs: Iterable[KernelJob],
    threads: int,
    progress: Progress = silent,
    again: bool = False,
) -> dict[KernelJob, KernelTimes]:
    """Return the times of kernels, measuring those that are not among the records.

    Every kernel is kept as soon as it is measured. The times are those of the machine's best
    moment: what was timed when the reference kernel took longer is shortened by as much. Kernels
    whose times cannot be right (see `plausible`) are timed again, up to three times in all.

    Parameters
    ----------
    records, progress
        Keeps the times; receives a line when there is something to measure.
    jobs : iterable of KernelJob
        The kernels; equal ones count once.
    threads : int
        Threads they run on.
    again : bool
        Time those again that something disturbed.

    Raises
    ------
    BuildError
        If the measuring process dies.
    """
    tiles = load_tiles(records)
    asked = {job: job.with_tiles(tiles) for job in jobs}
    found: dict[KernelJob, TimedKernel] = {}
    missing = []
    for job in dict.fromkeys(asked.values()):
        kept = _load(records, job, threads)
        if kept is None or (again and kept.disturbed):
            missing.append(job)
        else:
            found[job] = kept
    if missing:
        progress(f"timing {counted(len(missing), 'kernel')}, {counted(threads, 'thread')}")
        found |= _timed(records, missing, threads)
    while True:
        times = _at_best_pace(asked, found)
        doubtful = {asked[job] for job in doubtful_jobs(times)}
        left = [job for job in found if job in doubtful and found[job].tries < TRIES]
        if not left:
            return times
        progress(f"timing {counted(len(left), 'kernel')} again: their times contradict each other")
        found |= _timed(records, left, threads, found)


def _timed(
    records: Records,
    jobs: list[KernelJob],
    threads: int,
    before: Mapping[KernelJob, TimedKernel] = MappingProxyType({}),
) -> dict[KernelJob, TimedKernel]:
    """Time kernels and keep each as soon as it is done, beside what it took before."""
    found: dict[KernelJob, TimedKernel] = {}

    def keep(timed: Mapping[str, Any]) -> None:
        job = jobs[timed["job"]]
        times = TimedKernel(timed["latency_ms"], timed["reference_ms"], timed["disturbed"])
        found[job] = before[job].beside(times) if job in before else times
        records.save("kernel", _identity(job, threads), found[job])

    time_kernels(_MODULE, {"jobs": [asdict(job) for job in jobs]}, threads, keep)
    return found


def count_missing(records: Records, jobs: Iterable[KernelJob], threads: int) -> int:
    """Return how many of the kernels are left to be timed."""
    tiles = load_tiles(records)
    wanted = {job.with_tiles(tiles) for job in jobs}
    return sum(_load(records, job, threads) is None for job in wanted)


def _load(records: Records, job: KernelJob, threads: int) -> TimedKernel | None:
    return records.load("kernel", _identity(job, threads), TimedKernel)


def _at_best_pace(
    asked: Mapping[KernelJob, KernelJob], found: Mapping[KernelJob, TimedKernel]
) -> dict[KernelJob, KernelTimes]:
    """Return times as they were if the reference kernel took as long as at best."""
    best_ms = min((ms for one in found.values() for ms in one.reference_ms.values()), default=0.0)
    return {
        asked_job: {
            float(density): ms * best_ms / found[job].reference_ms[density]
            for density, ms in found[job].latency_ms.items()
        }
        for asked_job, job in asked.items()
    }


def _identity(job: KernelJob, threads: int) -> dict[str, Any]:
    return {**asdict(job), "threads": threads, "code": code_fingerprint("kernel")}
