"""Times of single kernels on this machine: from the cache, or from a micro-benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tvm_sparse.errors import BuildError
from tvm_sparse.progress import Progress, silent
from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.records.read import check_record
from tvm_sparse.tuning.kernel_job import KernelJob
from tvm_sparse.tuning.machine import Ceilings
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.timing_process import time_kernels
from tvm_sparse.tuning.tuned_tiles import load_tiles

_MODULE = "micro_benchmark"
#: Milliseconds by density of non-zero blocks.
KernelTimes = dict[float, float]


@dataclass(frozen=True)
class TimedKernel:
    """What is kept of a kernel that was timed.

    Attributes
    ----------
    latency_ms, reference_ms : dict of str to float
        Its time and the reference kernel's beside it, by density of non-zero blocks.
    disturbed : bool
        Whether something else kept the machine busy.
    """

    latency_ms: dict[str, float]
    reference_ms: dict[str, float]
    disturbed: bool


def measured_ceilings(records: Records, threads: int, progress: Progress = silent) -> Ceilings:
    """Return the ceilings of this machine, measuring them if it was never done.

    Parameters
    ----------
    records : Records
        Keeps them.
    threads : int
        Threads that work together.
    progress : callable
        Receives a line when there is something to measure.

    Raises
    ------
    BuildError
        If the measuring process dies.
    """
    identity = {"threads": threads, "code": code_fingerprint("machine")}
    found = records.load("machine", identity, Ceilings)
    if found is None:
        progress(f"measuring what this machine can do at most, {_threads(threads)}")
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
    """Return the times of kernels, measuring those that are not in the cache.

    Every kernel is kept as soon as it is measured. The times are those of the machine's best
    moment: what was timed when the reference kernel took longer is shortened by as much.

    Parameters
    ----------
    records : Records
        Keeps them.
    jobs : iterable of KernelJob
        The kernels; equal ones count once.
    threads : int
        Threads they run on.
    progress : callable
        Receives a line when there is something to measure.
    again : bool
        Time those again that something disturbed.

    Raises
    ------
    BuildError
        If the measuring process dies.
    """
    tiles = load_tiles(records)
    asked = {job: job.with_tiles(tiles) for job in jobs}
    found = {job: _load(records, job, threads) for job in asked.values()}
    missing = [job for job, times in found.items() if times is None or (again and times.disturbed)]
    if missing:
        progress(f"timing {len(missing)} kernels, {_threads(threads)}")

        def keep(timed: Mapping[str, Any]) -> None:
            job = missing[timed["job"]]
            times = TimedKernel(*(timed[f.name] for f in fields(TimedKernel)))
            records.save("kernel", _identity(job, threads), times)
            found[job] = times

        time_kernels(_MODULE, {"jobs": [asdict(job) for job in missing]}, threads, keep)
    timed = {job: times for job, times in found.items() if times is not None}
    paces = [ms for times in timed.values() for ms in times.reference_ms.values()]
    return {
        asked_job: _at_pace(timed[job], min(paces))
        for asked_job, job in asked.items()
        if job in timed
    }


def count_missing(records: Records, jobs: Iterable[KernelJob], threads: int) -> int:
    """Return how many of the kernels are left to be timed."""
    tiles = load_tiles(records)
    wanted = {job.with_tiles(tiles) for job in jobs}
    return sum(_load(records, job, threads) is None for job in wanted)


def _load(records: Records, job: KernelJob, threads: int) -> TimedKernel | None:
    return records.load("kernel", _identity(job, threads), TimedKernel)


def _at_pace(times: TimedKernel, reference_ms: float) -> KernelTimes:
    """Return a record's times as they were if the reference kernel took so long."""
    return {
        float(density): float(ms) * reference_ms / times.reference_ms[density]
        for density, ms in times.latency_ms.items()
    }


def _identity(job: KernelJob, threads: int) -> dict[str, Any]:
    return {**asdict(job), "threads": threads, "code": code_fingerprint("kernel")}


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"
