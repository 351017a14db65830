"""The process that times rival tiles of one product.

Its request is {"jobs": [...], "density": share}, the result the milliseconds of each rival. Rivals
take turns, so that the state of the machine is everybody's, and each is compared with the first in
every round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm

from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.processes.serve import Report, serve
from tvm_sparse.tuning.kernel_job import KernelJob, read_jobs
from tvm_sparse.tuning.micro_benchmark import (
    argument_sets,
    last_cache_bytes,
    make_kernel,
    target_of,
)

_ROUNDS = 7
#: A rival is called for at least this long in a round, and for no longer than that.
_SECONDS, _MOST_SECONDS = 0.02, 0.12
#: Where half of the calls take so much longer than the fastest tenth, something else is running.
_QUIET_SPREAD = 1.15
_LEAST_CALLS = 10
#: All copies of all rivals' weights together.
_MOST_BYTES = 2 << 30


def race(jobs: list[KernelJob], density: float) -> list[float]:
    """Return the usual time in milliseconds of each job: one product with different tiles."""
    kernels = [
        make_kernel(job, density, target_of(job)).with_attr("global_symbol", f"rival_{index}")
        for index, job in enumerate(jobs)
    ]
    module = tvm.IRModule({kernel.attrs["global_symbol"]: kernel for kernel in kernels})
    compiled = tvm.compile(module, target=tvm_target(target_of(jobs[0])))
    cache_bytes = min(last_cache_bytes(), _MOST_BYTES // (2 * len(jobs)))
    rivals = [
        (compiled[f"rival_{index}"], argument_sets(job, density, target_of(job), cache_bytes))
        for index, job in enumerate(jobs)
    ]
    rounds = np.array([[measure_ms(*rival) for rival in rivals] for _ in range(_ROUNDS)])
    # A round's ratio to the first rival leaves out how fast the machine was in that round.
    ratios = np.median(rounds / rounds[:, :1], axis=0)
    return [float(ms) for ms in ratios * np.median(rounds[:, 0])]


def measure_ms(call: Callable[..., Any], argument_sets: Sequence[Sequence[Any]]) -> float:
    """Return the usual time of a call in milliseconds, the argument sets taking turns.

    It is the fastest tenth of all calls: on a quiet machine next to the median, and still right
    when something else takes the cores for a while. If it does, calls go on for longer.
    """
    samples: list[float] = []
    # One call wakes the threads and loads the code; weights are cold in every copy anyway.
    call(*argument_sets[0])
    begin = time.perf_counter()
    while True:
        for arguments in argument_sets:
            start = time.perf_counter_ns()
            call(*arguments)
            samples.append((time.perf_counter_ns() - start) / 1e6)
        if len(samples) < _LEAST_CALLS or time.perf_counter() - begin < _SECONDS:
            continue
        usual, median = np.percentile(samples, [10, 50])
        if median < _QUIET_SPREAD * usual or time.perf_counter() - begin > _MOST_SECONDS:
            return float(usual)


def _race(request: dict[str, Any], _: Report) -> list[float]:
    return race(read_jobs(request["jobs"]), request["density"])


if __name__ == "__main__":
    serve(_race)
