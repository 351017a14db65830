"""Who runs next: a few runs at a time, each of the requests that fit together.

The thread of a request that finds a stream free runs at once, so that a request alone is handed to
nobody. Others wait in one line for all models. When a stream becomes free, the thread at the head
of the line takes it, and with its own sequences those of others that wait for the same model and
are of like length, as many as fit in a run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.serve.statistics import Statistics
from tvm_sparse.serve.ticket import Ticket

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class Lane(Generic[Item, Result]):
    """One way to run a model.

    Attributes
    ----------
    run : callable
        Returns a result for each of some items.
    size : callable
        How much work an item is: tokens.
    most_items, most_work : int
        Of a run, unless one request alone has more.
    delay_s : float
        Seconds to wait for others before a run.
    statistics : Statistics
        Where runs are counted.
    tokens : callable
        Returns the tokens of some items, and how many more their run computes.
    """

    run: Callable[[list[Item]], Sequence[Result]]
    size: Callable[[Item], int]
    most_items: int = 1
    most_work: int = 0
    delay_s: float = 0.0
    statistics: Statistics = field(default_factory=Statistics)
    tokens: Callable[[list[Item]], tuple[int, int]] = lambda _items: (0, 0)


@dataclass(eq=False)
class _Wait(Generic[Item, Result]):
    """Items of one request that wait for a run."""

    lane: Lane[Item, Result]
    ticket: Ticket
    items: list[Item]
    size: int
    woken: threading.Lock
    leads: bool = False
    results: Sequence[Result] = ()
    error: BaseException | None = None
    since_ns: int = field(default_factory=time.perf_counter_ns)


class Streams:
    """As many runs at a time as there are streams.

    Parameters
    ----------
    count : int
        How many.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._line: dict[_Wait[Any, Any], None] = {}  # ordered, and left from anywhere

    def __len__(self) -> int:
        return len(self._line)

    def submit(
        self, lane: Lane[Item, Result], items: list[Item], ticket: Ticket
    ) -> Sequence[Result]:
        """Return the results of items, when their turn has come.

        Raises
        ------
        Refusal
            The request was dropped before.
        Exception
            What the run raises.
        """
        woken = threading.Lock()
        woken.acquire()
        size = max(map(lane.size, items), default=0)
        wait = _Wait(lane, ticket, items, size, woken)
        with self._lock:
            ticket.check()
            self._line[wait] = None
            if self._free:
                self._free -= 1
                wait.leads = True
        if not wait.leads:
            woken.acquire()
        if wait.leads:
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
            for wait in [one for one in self._line if one.ticket is ticket and not one.leads]:
                del self._line[wait]
                wait.error = error
                wait.woken.release()
        return True

    def _lead(self, wait: _Wait[Any, Any]) -> None:
        """Run what this thread waits for, with what fits, and hand the stream on."""
        # Counted from its arrival: what waited for a stream has waited.
        left_s = wait.lane.delay_s - (time.perf_counter_ns() - wait.since_ns) / 1e9
        if left_s > 0:
            time.sleep(left_s)
        batch: list[_Wait[Any, Any]] = []
        try:
            with self._lock:
                batch = self._take(wait)
            _run(wait.lane, batch)
        except BaseException as error:  # raised where each of them waits
            for one in batch or [wait]:
                one.error = error
        finally:
            with self._lock:
                wait.lane.statistics.running -= len(batch)
                self._line.pop(wait, None)
                following = next((one for one in self._line if not one.leads), None)
                if following is None:
                    self._free += 1
                else:
                    following.leads = True
            if following is not None:
                following.woken.release()
            for one in batch:
                if one is not wait:
                    one.woken.release()

    def _take(self, first: _Wait[Any, Any]) -> list[_Wait[Any, Any]]:
        """Take out of the line what is run together with the first."""
        if first.ticket.dropped is not None:
            raise first.ticket.dropped
        lane, chosen = first.lane, [first]
        count, work = len(first.items), first.size * len(first.items)
        others = [one for one in self._line if one.lane is lane and not one.leads]
        others.sort(key=lambda one: abs(one.size - first.size))  # stable: the oldest first
        for one in others:
            count += len(one.items)
            work += sum(map(lane.size, one.items))
            if count > lane.most_items or work > lane.most_work:
                break
            chosen.append(one)
        lane.statistics.taken(len(chosen), *lane.tokens([i for one in chosen for i in one.items]))
        now = time.perf_counter_ns()
        for one in chosen:
            self._line.pop(one, None)
            one.ticket.started = True
            one.ticket.wait_ns += now - one.since_ns
        return chosen


def _run(lane: Lane[Any, Any], batch: list[_Wait[Any, Any]]) -> None:
    """Run the items of some requests; where one of them is refused, each alone."""
    items = [item for one in batch for item in one.items]
    start = time.perf_counter_ns()
    lane.statistics.runs += 1
    try:
        results = lane.run(items)
    except TvmSparseError:
        if len(batch) == 1:
            raise
        for one in batch:
            try:
                _run(lane, [one])
            except TvmSparseError as error:
                one.error = error
        return
    elapsed, place = time.perf_counter_ns() - start, 0
    for one in batch:
        one.results = results[place : place + len(one.items)]
        place += len(one.items)
        one.ticket.run_ns += elapsed
        one.ticket.batch = len(items)
