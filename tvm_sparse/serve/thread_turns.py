"""Requests that threads answer: they wait for their turn, and the event loop for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from tvm_sparse.serve.ask import Ask
from tvm_sparse.serve.attempt import attempt
from tvm_sparse.serve.job_threads import JobThreads
from tvm_sparse.serve.refusal import Refusal, canceled
from tvm_sparse.serve.streams import Streams
from tvm_sparse.serve.timeout import Timeout

Gone = Callable[[], Awaitable[Any]]
#: Whether a client leaves is of interest when its answer takes longer.
_WATCHED_AFTER_S = 0.01


class ThreadTurns:
    """Answers requests of a model, each in a thread.

    Parameters
    ----------
    model : str
        Its name.
    most : int
        Threads.
    streams : Streams
        Where requests wait for a run.
    """

    def __init__(self, model: str, most: int, streams: Streams) -> None:
        self._model, self._streams = model, streams
        self._threads = JobThreads(most, f"tvm_sparse-{model}")

    async def answer(self, ask: Ask, under_way: int, timeout: Timeout, gone: Gone | None) -> Any:
        """Return the answer to a request.

        Parameters
        ----------
        ask : Ask
            The request.
        under_way : int
            How many requests the threads have, this one among them.
        timeout : Timeout
            How long it may wait.
        gone : callable or None
            Returns what is awaited until the client has left; None where the calling task is
            cancelled then.

        Raises
        ------
        Refusal
            Its turn comes too late, the client left, or the job refuses.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def finish(answer: Any, error: Refusal | None) -> None:
            if not done.done():
                done.set_exception(error) if error else done.set_result(answer)

        def drop(error: Refusal) -> None:
            if not done.done() and self._streams.drop(ask.ticket, error):
                done.set_exception(error)

        async def watch(gone: Gone) -> None:
            await gone()
            drop(canceled("the client has left"))

        def run() -> None:
            answer, error = attempt(ask.ticket, ask.job)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(finish, answer, error)

        watchers: list[asyncio.Task[None]] = []

        def begin_to_watch() -> None:
            if gone:
                watchers.append(loop.create_task(watch(gone)))

        timer = loop.call_later(timeout.seconds, lambda: drop(timeout.refusal(self._model)))
        # Most are answered before: a task takes longer than a timer.
        soon = loop.call_later(_WATCHED_AFTER_S, begin_to_watch)
        try:
            self._threads.submit(run, under_way)
            return await done
        except asyncio.CancelledError:  # and what was awaited is cancelled already
            self._streams.drop(ask.ticket, canceled("the client has left"))
            raise
        finally:
            timer.cancel()
            soon.cancel()
            for watcher in watchers:
                watcher.cancel()

    def succeed(self, before: ThreadTurns) -> None:
        """Take the threads of another one, which has done with them."""
        before._threads.most = self._threads.most
        self._threads = before._threads

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()
