"""Tell kernel times that cannot be right: something else took the cores while they were timed.

More non-zeros take no less time, and a sparse kernel with every block there multiplies as much as
the dense one in whose place it runs, and reads indices besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tvm_sparse.tuning.kernel_job import KernelJob

#: Times of equal work differ by so much on a quiet machine.
NOISE = 1.15


def disorder(times: Mapping[float, float]) -> float:
    """Return by which factor fewer non-zeros took longer than more of them: 1 if they never did.

    Parameters
    ----------
    times : mapping of float to float
        Milliseconds by density of non-zero blocks, 0..1.
    """
    worst, slowest = 1.0, 0.0
    for density in sorted(times):
        slowest = max(slowest, times[density])
        worst = max(worst, slowest / times[density])
    return worst


def doubtful_jobs(times: Mapping[KernelJob, Mapping[float, float]]) -> list[KernelJob]:
    """Return the kernels whose times contradict themselves, or those of another kernel.

    Parameters
    ----------
    times : mapping of KernelJob to mapping of float to float
        Milliseconds by density.
    """
    found: dict[KernelJob, None] = {}
    for job, own in times.items():
        if disorder(own) > NOISE:
            found[job] = None
        if job.weights is None or not job.weights.is_sparse:
            continue
        # In a dense build, and in the token layout of the sparse one.
        for dense in (job.as_dense(), replace(job, kernel=job.kernel.as_dense())):
            if dense in times and NOISE * own[1.0] < times[dense][1.0]:
                found |= {job: None, dense: None}
    return list(found)
