"""Times of single kernels on this machine: from the cache, or from a micro-benchmark."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tvm_sparse
from tvm_sparse.errors import BuildError
from tvm_sparse.tuning.kernel_job import KernelJob
from tvm_sparse.tuning.machine import Ceilings
from tvm_sparse.tuning.records import KERNEL_CODE, MACHINE_CODE, Records, code_fingerprint

_MODULE = "tvm_sparse.tuning.micro_benchmark"
_STDERR_TAIL_LINES = 5

#: Milliseconds by density of non-zero blocks.
KernelTimes = dict[float, float]


def measured_ceilings(
    records: Records, threads: int, progress: Callable[[str], None] = lambda line: None
) -> Ceilings:
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
    identity = {"threads": threads, "code": code_fingerprint(MACHINE_CODE)}
    found = records.load("machine", identity)
    if found is None:
        progress(f"measuring what this machine can do at most, {_threads(threads)}")
        (answer,) = _ask([], threads, ceilings=True)
        found = answer["ceilings"]
        records.save("machine", identity, asdict(Ceilings.from_json(found)))
    return Ceilings.from_json(found)


def measured_kernels(
    records: Records,
    jobs: Iterable[KernelJob],
    threads: int,
    progress: Callable[[str], None] = lambda line: None,
    again: bool = False,
) -> dict[KernelJob, KernelTimes]:
    """Return the times of kernels, measuring those that are not in the cache.

    Every kernel is kept as soon as it is measured.

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
    wanted = list(dict.fromkeys(jobs))
    found = {job: records.load("kernel", _identity(job, threads)) for job in wanted}
    missing = [
        job for job, times in found.items() if times is None or (again and times["disturbed"])
    ]
    if missing:
        progress(f"timing {len(missing)} kernels, {_threads(threads)}")
        for answer in _ask(missing, threads):
            job = missing[answer["job"]]
            found[job] = {name: answer[name] for name in ("latency_ms", "disturbed")}
            records.save("kernel", _identity(job, threads), found[job] or {})
    return {
        job: {float(density): float(ms) for density, ms in times["latency_ms"].items()}
        for job, times in found.items()
        if times is not None
    }


def count_missing(records: Records, jobs: Iterable[KernelJob], threads: int) -> int:
    """Return how many of the kernels are left to be timed."""
    return sum(records.load("kernel", _identity(job, threads)) is None for job in set(jobs))


def _identity(job: KernelJob, threads: int) -> dict[str, Any]:
    return {**job.to_json(), "threads": threads, "code": code_fingerprint(KERNEL_CODE)}


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"


def _ask(
    jobs: Sequence[KernelJob], threads: int, ceilings: bool = False
) -> Iterator[dict[str, Any]]:
    """Start the measuring process and yield its answers as they come."""
    request = {"jobs": [job.to_json() for job in jobs], "ceilings": ceilings, "threads": threads}
    expected = len(jobs) + ceilings
    with tempfile.TemporaryFile("w+") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_environment(threads),
            text=True,
            start_new_session=True,
        )
        assert child.stdin is not None  # PIPE was asked for
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(request) + "\n")
            child.stdin.close()
            for line in child.stdout:
                expected -= 1
                yield json.loads(line)
            if child.wait() or expected:
                stderr.seek(0)
                raise _death(child.returncode, stderr.read())
        except (BrokenPipeError, ValueError):
            child.wait()
            stderr.seek(0)
            raise _death(child.returncode, stderr.read()) from None
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            child.stdout.close()


def _environment(threads: int) -> dict[str, str]:
    root = str(Path(tvm_sparse.__path__[0]).parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "TVM_NUM_THREADS": str(threads),
        # As in the benchmark's workers, whose builds the kernels stand for.
        "TVM_BIND_THREADS": "0",
    }


def _death(code: int, stderr: str) -> BuildError:
    how = f"ended with code {code}"
    if code < 0:
        how = f"was ended by {signal.strsignal(-code) or 'an unknown signal'}"
        how += " (out of memory?)" if code == -signal.SIGKILL else ""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    tail = " | ".join(lines[-_STDERR_TAIL_LINES:])
    said = f"; its last words: {tail}" if tail else ""
    return BuildError(f"the process that times kernels {how}{said}")
