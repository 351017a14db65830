"""Threads that carry out jobs of the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class JobThreads:
    """So many threads at most, started as they are needed; all methods are for the event loop.

    An executor of the standard library does the same, for 30 microseconds more a job.

    Parameters
    ----------
    most : int
        How many threads.
    name : str
        Of each.

    Attributes
    ----------
    most : int
        As given; may be changed.
    """

    def __init__(self, most: int, name: str) -> None:
        self.most, self._name, self._started = most, name, 0
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def submit(self, job: Callable[[], None], under_way: int) -> None:
        """Have a job carried out by a thread that is free, or by the next one.

        Parameters
        ----------
        job : callable
            Must not raise.
        under_way : int
            Jobs that have not ended, this one among them.
        """
        if self._started < min(under_way, self.most):
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
            self._started += 1
        self._jobs.put(job)

    def close(self) -> None:
        """Let the threads end, when all jobs are done."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # and with it the model that it asked, which may have been replaced
