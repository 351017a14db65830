"""How long threads take to begin and end a parallel loop.

That is how fast their cores exchange cache lines: one or two microseconds where they share a cache,
several where they do not.
"""

from __future__ import annotations

import ctypes
import statistics
import time

from tvm_sparse.runtime.crew import on_threads
from tvm_sparse.runtime.tvm_runtime import find_runtime_library, load_tvm_ffi

_REPEATS = 1000


def measure_parallel_loop(threads: int) -> float:
    """Return the microseconds that a parallel loop takes in which threads only wait for each other.

    Parameters
    ----------
    threads : int
        From `choose_threads`; at least 2.

    Raises
    ------
    DependencyError
        If TVM's runtime library is not installed, or cannot be loaded.
    """
    load_tvm_ffi()
    library = ctypes.CDLL(str(find_runtime_library()))
    # The barrier takes what the body of a loop does: the number of the thread, and its group.
    body = ctypes.cast(library.TVMBackendParallelBarrier, ctypes.c_void_p)
    launch = library.TVMBackendParallelLaunch
    launch.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]

    def time_loop_ns() -> int:
        start = time.perf_counter_ns()
        launch(body, None, 0)
        return time.perf_counter_ns() - start

    samples_ns = on_threads(threads, lambda: [time_loop_ns() for _ in range(_REPEATS)])
    return statistics.median(samples_ns) / 1e3
