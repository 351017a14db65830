"""Runs of a model: what waits for one, and what is run together."""

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
        Returns a result for each of some items, on so many threads.
    size : callable
        How much work an item is: tokens.
    most_items : int
        Of a run, unless one request alone has more.
    most_work : int
        Of each thread of a run, likewise.
    delay_s : float
        Seconds to wait for others before a run.
    statistics : Statistics
        Where runs are counted.
    tokens : callable
        Returns the tokens of some items, and how many more their run computes.
    own_threads : callable
        Gives the calling thread what spares its runs to be handed to another one.
    """

    run: Callable[[list[Item], int], Sequence[Result]]
    size: Callable[[Item], int]
    most_items: int = 1
    most_work: int = 0
    delay_s: float = 0.0
    statistics: Statistics = field(default_factory=Statistics)
    tokens: Callable[[list[Item]], tuple[int, int]] = lambda _items: (0, 0)
    own_threads: Callable[[], None] = lambda: None


@dataclass(eq=False)
class Wait(Generic[Item, Result]):
    """Items of one request that wait for a run.

    Attributes
    ----------
    lane, ticket, items
        How they are run, for whom, and what they are.
    size : int
        Of the largest.
    woken : Lock
        Released when there are results, or the run is its own to lead.
    threads : int
        Of the run that it leads; 0 until then.
    core : int or None
        Where that run stays, if it is to stay on one.
    results, error : sequence, BaseException or None
        What came of it.
    since_ns : int
        When it began to wait, by `time.perf_counter_ns`.
    """

    lane: Lane[Item, Result]
    ticket: Ticket
    items: list[Item]
    size: int
    woken: threading.Lock
    threads: int = 0
    core: int | None = None
    results: Sequence[Result] = ()
    error: BaseException | None = None
    since_ns: int = field(default_factory=time.perf_counter_ns)


def run_together(lane: Lane[Any, Any], batch: list[Wait[Any, Any]], threads: int) -> None:
    """Run the items of some requests; where one of them is refused, each alone."""
    items = [item for one in batch for item in one.items]
    start = time.perf_counter_ns()
    lane.statistics.runs += 1
    try:
        results = lane.run(items, threads)
    except TvmSparseError:
        if len(batch) == 1:
            raise
        for one in batch:
            try:
                run_together(lane, [one], threads)
            except TvmSparseError as error:
                one.error = error
        return
    elapsed, place = time.perf_counter_ns() - start, 0
    for one in batch:
        one.results = results[place : place + len(one.items)]
        place += len(one.items)
        one.ticket.run_ns += elapsed
        one.ticket.batch = len(items)
