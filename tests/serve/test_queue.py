"""Waiting for a stream: who runs together, who is refused, who left; with a slow model."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from slow_model import Slow

from tvm_sparse.serve.at_once import Busy
from tvm_sparse.serve.lanes import Lane, Wait
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.streams import Streams
from tvm_sparse.serve.ticket import Ticket

pytestmark = pytest.mark.unit


async def _refusal(task: asyncio.Task[Any]) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await task
    return refused.value


def test_like_lengths_run_together_and_the_oldest_goes_first() -> None:
    async def play(slow: Slow) -> None:
        tasks = [asyncio.create_task(slow.ask(1))]
        await slow.until(slow.begun.is_set)
        # The oldest is 50, with 45 beside it; 90 would be too much there.
        for place, length in enumerate((50, 2, 45, 3, 90)):
            tasks.append(asyncio.create_task(slow.ask(length)))
            await slow.until(lambda place=place: len(slow.streams) == place + 1)
        slow.go.set()
        assert await asyncio.gather(*tasks) == [[-1], [-50], [-2], [-45], [-3], [-90]]
        assert slow.batches == [[1], [50, 45], [2, 3, 90]]
        assert slow.served.statistics.success.count == 6
        assert slow.served.statistics.pending == 0

    asyncio.run(play(Slow()))


def test_a_run_has_no_more_than_fits() -> None:
    async def play(slow: Slow) -> None:
        tasks = [asyncio.create_task(slow.ask(1))]
        await slow.until(slow.begun.is_set)
        for place, lengths in enumerate([(5, 5), (5, 5), (5,), (1,) * 9]):
            tasks.append(asyncio.create_task(slow.ask(*lengths)))
            await slow.until(lambda place=place: len(slow.streams) == place + 1)
        slow.go.set()
        await asyncio.gather(*tasks)
        assert slow.batches == [[1], [5, 5, 5, 5], [5], [1] * 9]

    asyncio.run(play(Slow()))


def test_what_one_request_is_refused_for_does_not_hurt_others() -> None:
    async def play(slow: Slow) -> None:
        first = asyncio.create_task(slow.ask(1))
        await slow.until(slow.begun.is_set)
        good, bad = asyncio.create_task(slow.ask(12)), asyncio.create_task(slow.ask(13))
        await slow.until(lambda: len(slow.streams) == 2)
        slow.go.set()
        assert await first == [-1]
        assert await good == [-12]
        error = await _refusal(bad)
        assert (error.status, error.message) == (400, "13 given")
        error = await _refusal(asyncio.create_task(slow.ask(66)))
        assert (error.status, error.message) == (500, "RuntimeError: broken")
        assert await slow.ask(3) == [-3]

    asyncio.run(play(Slow()))


def test_a_full_queue_refuses_at_once() -> None:
    async def play(slow: Slow) -> None:
        tasks = [asyncio.create_task(slow.ask(n)) for n in (1, 2, 3)]
        await slow.until(lambda: slow.served.statistics.pending == 3)
        error = await _refusal(asyncio.create_task(slow.ask(4)))
        assert (error.status, "exceeds maximum queue size 3" in error.message) == (503, True)
        slow.go.set()
        assert await asyncio.gather(*tasks) == [[-1], [-2], [-3]]
        assert slow.served.statistics.failures == {"REJECTED": 1}

    asyncio.run(play(Slow(max_size=3)))


@pytest.mark.parametrize("own", [False, True], ids=["the model's", "the request's"])
def test_what_waits_too_long_is_refused_and_never_run(own: bool) -> None:
    async def play(slow: Slow) -> None:
        # It has begun, and is answered however long it takes.
        first = asyncio.create_task(slow.ask(1))
        await slow.until(slow.begun.is_set)
        late = slow.ask(2, timeout=30_000) if own else slow.ask(2)
        error = await _refusal(asyncio.create_task(late))
        assert (error.status, "timed out" in error.message) == (503, True)
        slow.go.set()
        assert await first == [-1]
        assert slow.batches == [[1]]

    # Of the model's, the first has to begin within it, on a busy machine too.
    asyncio.run(play(Slow(timeout_ms=20_000 if own else 1000)))


def test_who_leaves_costs_nothing() -> None:
    async def play(slow: Slow) -> None:
        first = asyncio.create_task(slow.ask(1))
        await slow.until(slow.begun.is_set)
        left = asyncio.Event()
        gone = asyncio.create_task(slow.ask(2, gone=left.wait))
        await slow.until(lambda: len(slow.streams) == 1)
        left.set()
        assert (await _refusal(gone)).reason == "CANCELED"
        assert len(slow.streams) == 0
        slow.go.set()
        assert await first == [-1]
        assert slow.batches == [[1]]

    asyncio.run(play(Slow()))


def test_more_requests_than_threads_and_streams() -> None:
    async def play(slow: Slow) -> None:
        slow.go.set()
        lengths = [14 + n * 7 % 40 for n in range(300)]
        answers = await asyncio.gather(*(slow.ask(length) for length in lengths))
        assert answers == [[-length] for length in lengths]
        assert sorted(n for batch in slow.batches for n in batch) == sorted(lengths)
        assert len(slow.streams) == 0

    asyncio.run(play(Slow(streams=3, max_size=300)))


def test_what_cannot_have_its_turn_in_time_is_refused_on_arrival() -> None:
    async def play(slow: Slow) -> None:
        first = asyncio.create_task(slow.ask(1))
        await slow.until(slow.begun.is_set)
        slow.served._pace._each_s = 60.0  # as if it had been so slow
        error = await _refusal(asyncio.create_task(slow.ask(2, timeout=20_000_000)))
        assert (error.status, error.reason) == (503, "REJECTED")
        assert "no turn is likely within 20000 ms" in error.message
        patient = asyncio.create_task(slow.ask(3, timeout=40_000_000))
        await slow.until(lambda: len(slow.streams) == 1)
        slow.go.set()
        assert await first == [-1]
        assert await patient == [-3]
        assert slow.batches == [[1], [3]]
        # Its turn is now: nobody is before it.
        assert await slow.ask(4, timeout=1000) == [-4]

    asyncio.run(play(Slow(timeout_ms=3_600_000)))


def test_the_pace_is_learnt_from_what_is_answered() -> None:
    async def play(slow: Slow) -> None:
        slow.go.set()
        for _ in range(3):
            await slow.ask(1)
        assert 0 < slow.served._pace._each_s < 10
        assert slow.served._pace.reaches(20.0, 1)
        assert not slow.served._pace.reaches(1e-9, 128)

    asyncio.run(play(Slow()))


def test_a_run_alone_has_all_streams_and_those_that_wait_share_them() -> None:
    async def play(slow: Slow) -> None:
        tasks = [asyncio.create_task(slow.ask(1))]
        await slow.until(slow.begun.is_set)
        for place in range(9):
            tasks.append(asyncio.create_task(slow.ask(20 + place)))
            await slow.until(lambda place=place: len(slow.streams) == place + 1)
        slow.go.set()
        await asyncio.gather(*tasks)
        assert (slow.batches[0], slow.threads[0]) == ([1], 4)
        # Nine wait for four streams: none has more than its share.
        assert slow.threads.count(1) >= 4
        assert max(map(len, slow.batches)) <= 3
        assert await slow.ask(3) == [-3]
        assert slow.threads[-1] == 4

    asyncio.run(play(Slow(streams=4, shared=True)))


@pytest.mark.parametrize(
    ("waiting", "shares"),
    [(1, [8]), (2, [4, 4]), (3, [2, 2, 4]), (5, [1, 1, 2, 2, 2]), (9, [1] * 8)],
)
def test_streams_are_shared_by_halves(waiting, shares) -> None:
    streams, lane = Streams(8, threads=2, shared=True), Slow().lane
    lines = [Wait(lane, Ticket(), [1], 1, threading.Lock()) for _ in range(waiting)]
    for one in lines:
        one.woken.acquire()
        streams._line[one] = None
    streams._begin()
    assert [one.threads for one in lines if one.threads] == [2 * share for share in shares]
    assert [one.woken.locked() for one in lines] == [not one.threads for one in lines]


def test_who_asks_alone_is_answered_in_the_event_loop() -> None:
    async def play(slow: Slow) -> None:
        slow.go.set()
        run, threads = slow.lane.run, []

        def running(lengths: list[int], count: int) -> Sequence[int]:
            threads.append(threading.current_thread())
            return run(lengths, count)

        slow.lane.run = running
        here = threading.current_thread()
        for length in range(14, 22):
            assert await slow.ask(length, who="one") == [-length]
        assert [one is here for one in threads] == [False] * 4 + [True] * 4
        error = await _refusal(asyncio.create_task(slow.ask(13, who="one")))
        assert (error.status, error.message, threads[-1]) == (400, "13 given", here)
        # Somebody else: from now on two may ask at the same time.
        for who in ("other", "one", None, None, None, None, None, None):
            await slow.ask(3, who=who)
            assert threads[-1] is not here
        counts = slow.served.statistics
        assert (counts.success.count, counts.pending, counts.running) == (16, 0, 0)

    asyncio.run(play(Slow()))


def test_what_takes_long_or_finds_a_run_is_not_answered_in_the_event_loop() -> None:
    async def play(slow: Slow) -> None:
        # Nobody could let it go otherwise.
        asking = asyncio.create_task(slow.ask(1))
        await slow.until(slow.begun.is_set)
        for _ in range(6):
            slow.streams.askers.is_alone("one")
        slow.served._brief._work_s = 0.0
        waits = asyncio.create_task(slow.ask(2, who="one"))
        await slow.until(lambda: len(slow.streams) == 1)
        slow.go.set()
        assert await asyncio.gather(asking, waits) == [[-1], [-2]]
        ticket = Ticket(at_once=True)
        slow.streams._free -= 1  # taken since it was looked at
        with pytest.raises(Busy):
            slow.streams.submit(slow.lane, [1], ticket)
        slow.streams._free += 1
        with pytest.raises(Busy):
            slow.streams.submit(slow.lane, [51, 50], ticket)
        assert slow.streams.submit(slow.lane, [50, 50], ticket) == [-50, -50]
        with pytest.raises(Busy):  # a second run of the same request
            slow.streams.submit(slow.lane, [1], ticket)
        assert slow.streams.idle
        ticket.arrived_ns -= 10**9
        slow.served._brief.worked(ticket)
        assert not slow.served._brief

    asyncio.run(play(Slow()))


def test_what_turns_out_to_take_several_runs_is_answered_by_a_thread() -> None:
    async def play(slow: Slow) -> None:
        slow.go.set()
        for _ in range(6):
            await slow.ask(2, who="one")
        assert await slow.ask(*[60] * 3, who="one") == [-60] * 3
        assert slow.batches[-1] == [60] * 3
        assert slow.served.statistics.success.count == 7

    asyncio.run(play(Slow()))


def test_runs_of_one_thread_keep_to_a_core_each() -> None:
    cores = sorted(os.sched_getaffinity(0))
    streams, found, done = Streams(len(cores), cores=cores), [], threading.Barrier(len(cores))

    def run(items: list[int], threads: int) -> list[int]:
        done.wait(20)
        found.append(os.sched_getaffinity(0))
        return items

    def ask() -> None:
        streams.submit(Lane(run, lambda _: 1), [1], Ticket())
        found.append(os.sched_getaffinity(0))

    asking = [threading.Thread(target=ask) for _ in cores]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert sorted(map(sorted, found)) == sorted([*([one] for one in cores), *[cores] * len(cores)])
    assert streams.idle
