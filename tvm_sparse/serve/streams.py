"""Who runs next: a few runs at a time, each of the requests that fit together.

The thread of a request that finds a stream free runs at once, so that a request alone is handed to
nobody. Others wait in one line for all models. When a stream becomes free, the thread at the head
of the line takes it, and with its own sequences those of others that wait for the same model and
are of like length, as many as fit in a run.

Streams that are shared join: a run that is alone has the threads of all that are free. Where others
wait as well they are divided among as many runs, because threads of one run wait for each other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from tvm_sparse.serve.at_once import Askers, Busy
from tvm_sparse.serve.cores import kept_to
from tvm_sparse.serve.lanes import Item, Lane, Result, Wait, run_together
from tvm_sparse.serve.ticket import Ticket


class Streams:
    """As many runs at a time as there are streams.

    Parameters
    ----------
    count : int
        How many.
    threads : int
        Of each.
    shared : bool
        Whether a run takes several, where they are free.
    cores : sequence of int
        One for each stream of one thread, to keep two runs from sharing one; none for any.

    Attributes
    ----------
    askers : Askers
        Who asks for runs.
    """

    def __init__(
        self, count: int, threads: int = 1, shared: bool = False, cores: Sequence[int] = ()
    ) -> None:
        self._lock = threading.Lock()
        self._count = self._free = count
        self._threads = threads
        self._cores, self._free_cores = frozenset(cores), list(cores)
        # In how many streams a run may be: all of them, or halves of that.
        self._sizes = _halves(count) if shared else [1]
        self.askers = Askers()
        self._line: dict[Wait[Any, Any], None] = {}  # ordered, and left from anywhere

    def __len__(self) -> int:
        return len(self._line)

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return self._free == self._count and not self._line

    def submit(
        self, lane: Lane[Item, Result], items: list[Item], ticket: Ticket
    ) -> Sequence[Result]:
        """Return the results of items, when their turn has come.

        Raises
        ------
        Refusal
            The request was dropped before.
        Busy
            It may not wait, and would have to, or would take long.
        Exception
            What the run raises.
        """
        woken = threading.Lock()
        woken.acquire()
        size = max(map(lane.size, items), default=0)
        wait = Wait(lane, ticket, items, size, woken)
        with self._lock:
            ticket.check()
            if ticket.at_once and not self._is_brief(lane, items, ticket):
                raise Busy
            self._line[wait] = None
            self._begin()
        if ticket.at_once:
            lane.own_threads()
        woken.acquire()
        if wait.threads:
            self._lead(wait)
        if wait.error is not None:
            raise wait.error
        return wait.results

    def drop(self, ticket: Ticket, error: Any) -> bool:
        """Take a request out of the line, and tell whether that was in time."""
        with self._lock:
            if ticket.started:
                return False
            ticket.dropped = error
            for wait in [one for one in self._line if one.ticket is ticket and not one.threads]:
                del self._line[wait]
                wait.error = error
                wait.woken.release()
        return True

    def _is_brief(self, lane: Lane[Any, Any], items: list[Any], ticket: Ticket) -> bool:
        """Tell whether a run can begin at once and is as short as one run can be."""
        most = lane.most_work * self._threads * self._count
        return self.idle and not ticket.started and sum(map(lane.size, items)) <= most

    def _begin(self) -> None:
        """Have those at the head of the line lead a run each, on the streams that are free."""
        waiting = [one for one in self._line if not one.threads] if self._free else []
        for place, one in enumerate(waiting):
            if not self._free:
                return
            share = self._free // min(self._free, len(waiting) - place)
            size = next(size for size in self._sizes if size <= share)
            self._free -= size
            one.threads = size * self._threads
            if one.threads == 1 and self._free_cores:
                one.core = self._free_cores.pop()
            one.woken.release()

    def _lead(self, wait: Wait[Any, Any]) -> None:
        """Run what this thread waits for, with what fits, and hand the stream on."""
        # Counted from its arrival: what waited for a stream has waited.
        left_s = wait.lane.delay_s - (time.perf_counter_ns() - wait.since_ns) / 1e9
        if left_s > 0:
            time.sleep(left_s)
        batch: list[Wait[Any, Any]] = []
        try:
            with self._lock:
                batch = self._take(wait)
            with kept_to(wait.core, self._cores):
                run_together(wait.lane, batch, wait.threads)
        except BaseException as error:  # raised where each of them waits
            for one in batch or [wait]:
                one.error = error
        finally:
            with self._lock:
                wait.lane.statistics.running -= len(batch)
                self._line.pop(wait, None)
                self._free += wait.threads // self._threads
                if wait.core is not None:
                    self._free_cores.append(wait.core)
                self._begin()
            for one in batch:
                if one is not wait:
                    one.woken.release()

    def _take(self, first: Wait[Any, Any]) -> list[Wait[Any, Any]]:
        """Take out of the line what is run together with the first."""
        if first.ticket.dropped is not None:
            raise first.ticket.dropped
        lane, chosen = first.lane, [first]
        count, work = len(first.items), sum(map(lane.size, first.items))
        alike = [one for one in self._line if one.lane is lane]
        others = [one for one in alike if not one.threads]
        others.sort(key=lambda one: abs(one.size - first.size))  # stable: the oldest first
        # Some are for the runs that begin beside this one.
        for one in others[: -(-len(others) // (len(alike) - len(others)))]:
            count += len(one.items)
            work += sum(map(lane.size, one.items))
            if count > lane.most_items or work > lane.most_work * first.threads:
                break
            chosen.append(one)
        lane.statistics.taken(len(chosen), *lane.tokens([i for one in chosen for i in one.items]))
        now = time.perf_counter_ns()
        for one in chosen:
            self._line.pop(one, None)
            one.ticket.started = True
            one.ticket.wait_ns += now - one.since_ns
        return chosen


def _halves(count: int) -> list[int]:
    """Return a number, half of it, and so on to 1."""
    return [count, *_halves(count // 2)] if count > 1 else [1]
