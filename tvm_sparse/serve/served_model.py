"""A model with its queue: requests come from the event loop and are answered by its threads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from tvm_sparse.serve.access_log import note
from tvm_sparse.serve.at_once import Brief, Busy
from tvm_sparse.serve.attempt import attempt
from tvm_sparse.serve.inference import Request, check_inputs, check_outputs
from tvm_sparse.serve.job_threads import JobThreads
from tvm_sparse.serve.model_config import QueueConfig
from tvm_sparse.serve.pace import Pace
from tvm_sparse.serve.refusal import Refusal, canceled, not_now, too_late
from tvm_sparse.serve.statistics import Statistics
from tvm_sparse.serve.streams import Streams
from tvm_sparse.serve.tensors import Tensor, TensorPlace
from tvm_sparse.serve.ticket import Ticket
from tvm_sparse.serve.timeout import Timeout

Answer = TypeVar("Answer")
Gone = Callable[[], Awaitable[Any]]
#: Requests of a model that are tokenised, or wait for a run, at a time. A run takes what waits.
_THREADS = 32
#: Whether a client leaves is of interest when its answer takes longer.
_WATCHED_AFTER_S = 0.01


@dataclass(frozen=True)
class Signature:
    """What a model takes and returns.

    Attributes
    ----------
    platform : str
        What makes the answers.
    inputs, outputs : tuple of TensorPlace
        By the names of the protocol.
    """

    platform: str
    inputs: tuple[TensorPlace, ...]
    outputs: tuple[TensorPlace, ...]


class ServedModel:
    """Answers requests of one name.

    Parameters
    ----------
    name : str
        What requests call it.
    signature : Signature
        What it takes.
    answer : callable
        Returns the outputs of a request; called in a thread of its own.
    streams : Streams
        Where its runs wait.
    queue : QueueConfig
        How many requests may wait, and how long.
    statistics : Statistics, optional
        What happened to its requests so far, where its lane counts its runs.

    Attributes
    ----------
    name, signature, queue, statistics
        As given.
    ready : bool
        Whether it has answered once.
    """

    def __init__(
        self,
        name: str,
        signature: Signature,
        answer: Callable[[Request], dict[str, Tensor]],
        streams: Streams,
        queue: QueueConfig,
        statistics: Statistics | None = None,
    ) -> None:
        self.name, self.signature, self.queue = name, signature, queue
        self.statistics, self.ready = statistics or Statistics(), False
        self._pace, self._brief = Pace(), Brief()
        self._answer, self._streams = answer, streams
        self._workers = JobThreads(min(_THREADS, queue.max_size), f"tvm_sparse-{name}")

    def check_room(self) -> None:
        """Refuse a request that finds no place, before anything of it is read.

        Raises
        ------
        Refusal
            The model is not ready, or its queue is full.
        """
        try:
            self._check_room()
        except Refusal as error:
            ticket = Ticket()
            note(model=self.name, ticket=ticket)
            self.statistics.refused(ticket, error.reason)
            raise

    def _check_room(self) -> None:
        if not self.ready:
            raise not_now(f"model '{self.name}' is not ready yet")
        most = self.queue.max_size
        if self.statistics.pending >= most:
            raise not_now(f"model '{self.name}': exceeds maximum queue size {most}")

    def check(self, request: Request) -> None:
        """Refuse a request that does not fit the model.

        Raises
        ------
        Refusal
            Saying why.
        """
        check_inputs(self.name, self.signature.inputs, request.inputs)
        check_outputs(self.name, self.signature.outputs, request.outputs)

    async def infer(
        self,
        request: Request,
        gone: Gone | None = None,
        left_s: float | None = None,
        who: Hashable = None,
    ) -> dict[str, Tensor]:
        """Return the outputs of a request that was checked.

        Parameters
        ----------
        request : Request
            What is asked.
        gone : callable or None
            Returns what is awaited until the client has left; None where the calling task is
            cancelled then.
        left_s : float or None
            Seconds in which the client wants an answer, None for any.
        who : hashable
            The connection of a small request, None of others; see `serve.at_once`.

        Raises
        ------
        Refusal
            It is refused.
        """
        timeout_ms = self.queue.timeout_ms
        given = request.parameters.get("timeout")  # microseconds, as Triton has it
        if type(given) is int and given > 0:
            timeout_ms = min(timeout_ms, max(1, given // 1000))
        items = max((t.shape[0] for t in request.inputs.values() if t.shape), default=1)
        return await self.work(
            lambda: self._answer(request), gone, timeout_ms, items, left_s, who=who
        )

    async def work(
        self,
        job: Callable[[], Answer],
        gone: Gone | None = None,
        timeout_ms: int | None = None,
        items: int = 1,
        left_s: float | None = None,
        ticket: Ticket | None = None,
        who: Hashable = None,
    ) -> Answer:
        """Return what a job returns that asks the model, when its turn has come.

        Of the ticket, if one is given, the times are known then.

        Raises
        ------
        Refusal
            The queue is full, its turn comes too late, the client left, or the job refuses.
        """
        timeout = Timeout((timeout_ms or self.queue.timeout_ms) / 1000, left_s)
        ticket, statistics = ticket or Ticket(), self.statistics
        note(model=self.name, ticket=ticket)
        try:
            self._check_room()
            pending = statistics.pending
            if left_s is not None and not self._pace.suffices(left_s, pending):
                raise too_late(f"model '{self.name}': no answer is likely within {left_s:.3g} s")
            if not self._pace.reaches(timeout.queue_s, pending):
                raise not_now(
                    f"model '{self.name}': no turn is likely within {timeout.queue_s * 1000:.0f} ms"
                )
            statistics.pending += 1
            try:
                answer = await self._turn(ticket, job, gone, timeout, who)
            finally:
                statistics.pending -= 1
        except Refusal as error:
            statistics.refused(ticket, error.reason)
            raise
        except asyncio.CancelledError:
            statistics.refused(ticket, "CANCELED")
            raise
        self._pace.answered(ticket, pending)
        statistics.answered(ticket, items)
        return answer

    async def _turn(
        self,
        ticket: Ticket,
        job: Callable[[], Answer],
        gone: Gone | None,
        timeout: Timeout,
        who: Hashable,
    ) -> Answer:
        alone = self._streams.askers.is_alone(who) and not self.queue.max_delay_us
        ticket.at_once = alone and bool(self._brief) and self._streams.idle
        if ticket.at_once:
            try:
                answer, error = attempt(ticket, job)
            except Busy:
                ticket.at_once = ticket.started = False
                ticket.run_ns = 0
            else:
                self._brief.worked(ticket)
                if error is not None:
                    raise error
                return cast(Answer, answer)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Answer] = loop.create_future()

        def finish(answer: Any, error: Refusal | None) -> None:
            self._brief.worked(ticket)
            if not done.done():
                done.set_exception(error) if error else done.set_result(answer)

        def drop(error: Refusal) -> None:
            if not done.done() and self._streams.drop(ticket, error):
                done.set_exception(error)

        async def watch(gone: Gone) -> None:
            await gone()
            drop(canceled("the client has left"))

        def run() -> None:
            answer, error = attempt(ticket, job)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(finish, answer, error)

        timer = loop.call_later(timeout.seconds, lambda: drop(timeout.refusal(self.name)))
        watchers: list[asyncio.Task[None]] = []

        def begin_to_watch() -> None:
            if gone:
                watchers.append(loop.create_task(watch(gone)))

        # Most are answered before: a task takes longer than a timer.
        soon = loop.call_later(_WATCHED_AFTER_S, begin_to_watch)
        try:
            self._workers.submit(run, self.statistics.pending)
            return await done
        except asyncio.CancelledError:  # and what was awaited is cancelled already
            self._streams.drop(ticket, canceled("the client has left"))
            raise
        finally:
            timer.cancel()
            soon.cancel()
            for watcher in watchers:
                watcher.cancel()

    def succeed(self, before: ServedModel) -> None:
        """Take the threads of who had the name before; it answers what it has been asked."""
        before._workers.most = self._workers.most
        self._workers = before._workers

    def close(self) -> None:
        """Refuse what comes from now on, and let the threads end."""
        self.ready = False
        self._workers.close()
