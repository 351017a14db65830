"""A process that waits to take the place of one that dies.

Most of what it takes to start a process that answers is importing what it needs, and that takes
longest where the machine is busy. The spare one has done so, and has no model.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection

from tvm_sparse.errors import BuildError
from tvm_sparse.serve.peer import Answer
from tvm_sparse.serve.worker_site import WorkerSite


class Spare:
    """Keeps one such process at most.

    Parameters
    ----------
    answer : callable
        Answers what processes ask.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._site: WorkerSite | None = None
        self._listening: set[socket.socket] = set()

    def keep(self, listening: Collection[socket.socket]) -> None:
        """Start it, unless it is there: when nobody waits for one.

        Parameters
        ----------
        listening : collection of socket
            At one of which it will answer.
        """
        if self._site is None:
            with contextlib.suppress(BuildError):  # the system has no room: the next starts cold
                self._site, self._listening = WorkerSite(self._answer, listening), set(listening)

    def take(self, listening: Collection[socket.socket]) -> WorkerSite:
        """Return it, if it has these sockets, or a new one.

        Raises
        ------
        BuildError
            None can be started.
        """
        site = self._site
        if site is None or site.talk.done() or self._listening != set(listening):
            self.drop()
            return WorkerSite(self._answer, listening)
        self._site = None
        return site

    def drop(self) -> None:
        """End it: as long as it lives, the sockets that it was given stay open."""
        if self._site is not None:
            self._site.close()
            self._site.process.wait()
            self._site = None
