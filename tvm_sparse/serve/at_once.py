"""Requests that are answered in the event loop itself, without a thread.

Handing a request to a thread and its answer back wakes two threads that sleep, and a run on several
threads two more: a third of a millisecond for a client that asks alone, and nobody else would have
anything of the loop meanwhile. So what takes a few milliseconds at most, in one run of no more than
keeps all threads busy, and finds all streams free, is answered where it is read. Clients that ask
at the same time get threads, so that what waits can be run together.
"""

from __future__ import annotations

import time
from collections.abc import Hashable

from tvm_sparse.serve.ticket import Ticket

#: Seconds for which the event loop does nothing else.
_MOST_S = 0.006
#: What texts of a longer body take is not known.
MOST_BYTES = 2048
#: So many requests in turn, by one client, tell that it asks alone.
_TURNS = 4
_WEIGHT = 0.1


class Busy(Exception):
    """The request needs a thread after all: streams are taken, or its runs are not brief."""


class Askers:
    """Who asks the models of a process."""

    def __init__(self) -> None:
        self._last: Hashable = None
        self._turns = 0

    def is_alone(self, who: Hashable) -> bool:
        """Tell whether a client that asks now has been the only one for a while.

        Parameters
        ----------
        who : hashable
            Its connection; None where that is of no use.
        """
        self._turns = self._turns + 1 if who == self._last else 0
        self._last = who
        return who is not None and self._turns >= _TURNS


class Brief:
    """Learns whether a model's requests are brief enough; true if they are."""

    def __init__(self) -> None:
        self._work_s = _MOST_S

    def worked(self, ticket: Ticket) -> None:
        """Learn from a request that has ended; what it waited is no work."""
        work_ns = time.perf_counter_ns() - ticket.arrived_ns - ticket.wait_ns
        self._work_s += _WEIGHT * (work_ns / 1e9 - self._work_s)

    def __bool__(self) -> bool:
        return self._work_s < _MOST_S
