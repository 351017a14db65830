"""A model with its queue: whom it lets in, who answers them, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from tvm_sparse.serve.access_log import note
from tvm_sparse.serve.ask import Ask
from tvm_sparse.serve.at_once import Brief, Busy
from tvm_sparse.serve.attempt import attempt
from tvm_sparse.serve.counted import Counted
from tvm_sparse.serve.model_config import QueueConfig
from tvm_sparse.serve.pace import Pace
from tvm_sparse.serve.refusal import Refusal, not_now
from tvm_sparse.serve.request import Request
from tvm_sparse.serve.signature import Signature
from tvm_sparse.serve.statistics import Statistics
from tvm_sparse.serve.streams import Streams
from tvm_sparse.serve.tensors import Tensor
from tvm_sparse.serve.thread_turns import Gone, ThreadTurns
from tvm_sparse.serve.ticket import Ticket
from tvm_sparse.serve.timeout import Timeout

#: Requests of a model that are tokenised, or wait for a run, at a time. A run takes what waits.
_THREADS = 32


class ServedModel:
    """Answers requests of one name.

    Parameters
    ----------
    name : str
        What requests call it.
    signature : Signature
        What it takes.
    answer : callable
        Returns the outputs of a request; may be called in any thread.
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
        self._turns = ThreadTurns(name, min(_THREADS, queue.max_size), streams)

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

    def ask(self, request: Request) -> Ask:
        """Return what is to be done for a request.

        Raises
        ------
        Refusal
            It does not fit the model.
        """
        self.signature.check_inputs(self.name, request.inputs)
        self.signature.check_outputs(self.name, request.outputs)
        return Ask(lambda: self._answer(request), request.items, request.timeout_ms)

    def is_free(self, who: Hashable) -> bool:
        """Tell whether a request may be answered in the event loop: see `serve.at_once`.

        Parameters
        ----------
        who : hashable
            The connection of a small request, None of others. Counted; call it once for each.
        """
        alone = self._streams.askers.is_alone(who) and not self.queue.max_delay_us
        return alone and self._streams.idle and bool(self._brief)

    def answer_now(self, ask: Ask) -> Any:
        """Return the answer to a request, in the calling thread and without waiting.

        Raises
        ------
        Busy
            That cannot be: it needs a thread, and the same `ask` may be given to `answer`.
        Refusal
            It is refused.
        """
        ask.ticket.at_once = True
        with self._counted(ask):
            try:
                answer, error = attempt(ask.ticket, ask.job)
            except Busy:
                ask.ticket.begin_again()
                raise
            self._brief.worked(ask.ticket)
            if error is not None:
                raise error
        return answer

    async def answer(self, ask: Ask, gone: Gone | None = None, left_s: float | None = None) -> Any:
        """Return the answer to a request, which a thread makes when its turn has come.

        Parameters
        ----------
        ask : Ask
            The request; its ticket has its times then.
        gone : callable or None
            Returns what is awaited until the client has left; None where the calling task is
            cancelled then.
        left_s : float or None
            Seconds in which the client wants an answer, None for any.

        Raises
        ------
        Refusal
            The queue is full, its turn comes too late, the client left, or the job refuses.
        """
        queue_ms = min(self.queue.timeout_ms, ask.timeout_ms or self.queue.timeout_ms)
        timeout = Timeout(queue_ms / 1000, left_s)
        with self._counted(ask, timeout):
            answer = await self._turns.answer(ask, self.statistics.pending, timeout, gone)
        self._brief.worked(ask.ticket)
        return answer

    def _counted(self, ask: Ask, timeout: Timeout | None = None) -> Counted:
        """Let a request in, and return what counts what becomes of it.

        Raises
        ------
        Refusal
            There is no place for it, or no hope of an answer in time.
        """
        note(model=self.name, ticket=ask.ticket)
        before = self.statistics.pending
        try:
            self._check_room()
            if timeout is not None:
                self._pace.check(self.name, timeout, before)
        except Refusal as error:
            self.statistics.refused(ask.ticket, error.reason)
            raise
        return Counted(self.statistics, self._pace, ask, before)

    def _check_room(self) -> None:
        if not self.ready:
            raise not_now(f"model '{self.name}' is not ready yet")
        most = self.queue.max_size
        if self.statistics.pending >= most:
            raise not_now(f"model '{self.name}': exceeds maximum queue size {most}")

    def succeed(self, before: ServedModel) -> None:
        """Take the threads of who had the name before; it answers what it has been asked."""
        self._turns.succeed(before._turns)

    def close(self) -> None:
        """Refuse what comes from now on, and let the threads end."""
        self.ready = False
        self._turns.close()
