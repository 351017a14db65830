"""Streams: threads that run models at the same time, each on cores of its own.

One run on all cores answers soonest; several runs on a share of the cores each answer more in all,
because threads of one run wait for each other between any two kernels.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from tvm_sparse.errors import ConfigError
from tvm_sparse.host import neighbouring_cores
from tvm_sparse.runtime.measure import measure_latency
from tvm_sparse.words import counted


def threads_of_each(streams: int, cores: int) -> int:
    """Return how many threads each of some streams has.

    Raises
    ------
    ConfigError
        There are fewer cores than streams.
    """
    if not 1 <= streams <= cores:
        raise ConfigError(f"streams {streams} given: they share {counted(cores, 'core')}")
    return cores // streams


def core_shares(streams: int, threads: int) -> list[list[int]]:
    """Return the cores of each stream: neighbours, `threads` for each."""
    cores = neighbouring_cores()
    return [cores[first : first + threads] for first in range(0, streams * threads, threads)]


class Streams:
    """Threads that run at once, each pinned to its cores; a context manager that ends them.

    Threads that a stream starts, such as TVM's workers, inherit its cores.

    Parameters
    ----------
    make : callable
        Called once in each stream, one after the other; returns what the stream runs.
    shares : sequence of sequence of int
        The cores of each stream, see `core_shares`; none for any.

    Raises
    ------
    Exception
        What `make` raises.
    """

    def __init__(
        self, make: Callable[[], Callable[[], object]], shares: Sequence[Sequence[int]]
    ) -> None:
        self._pools = [
            ThreadPoolExecutor(1, f"stream-{number}", _pin, (cores,))
            for number, cores in enumerate(shares)
        ]
        try:
            self._calls = [pool.submit(make).result() for pool in self._pools]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Streams:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; safe to call twice."""
        for pool in self._pools:
            pool.shutdown()

    def saturate(
        self, seconds: float, drop: int = 0, max_iterations: int | None = None
    ) -> list[list[float]]:
        """Run all streams at once, again and again; return the samples of each in milliseconds.

        Parameters
        ----------
        seconds, drop, max_iterations
            Of each stream, see `measure_latency`.
        """
        ready = threading.Barrier(len(self._pools))

        def run(call: Callable[[], object]) -> list[float]:
            ready.wait()
            return measure_latency(call, seconds, drop=drop, max_iterations=max_iterations)

        under_way = [
            pool.submit(run, call) for pool, call in zip(self._pools, self._calls, strict=True)
        ]
        return [one.result() for one in under_way]


def runs_per_s(samples_ms: Sequence[Sequence[float]]) -> float:
    """Return the runs per second of all streams, each over its own time, from their samples."""
    return sum(1e3 * len(one) / sum(one) for one in samples_ms)


def _pin(cores: Sequence[int]) -> None:
    """Keep the calling thread, and those it starts, on some cores."""
    if cores:
        os.sched_setaffinity(0, cores)
