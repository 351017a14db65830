"""Two processes of a server that ask each other: JSON objects, one a line, over a socket.

{"id": 1, "ask": "prepare", ...}    answered, in any order, with
{"id": 1, "result": ...}            or {"id": 1, "error": ...}
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from tvm_sparse.processes.failures import describe, revive
from tvm_sparse.serve.refusal import Refusal

Answer = Callable[[str, dict[str, Any]], Awaitable[Any]]
#: A line may tell of a thousand models.
_LONGEST_LINE = 1 << 26


class GoneError(Exception):
    """The other process has ended."""


class Peer:
    """One end of the conversation.

    Parameters
    ----------
    connection : socket
        Connected; closed with the peer.
    answer : callable
        Returns the JSON-ready answer to what the other end asks, or raises.
    """

    def __init__(self, connection: socket.socket, answer: Answer) -> None:
        self._connection, self._answer = connection, answer
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None
        self._open, self._gone = asyncio.Event(), False

    async def run(self) -> None:
        """Listen to the other end until it is gone."""
        reader, self._writer = await asyncio.open_connection(
            sock=self._connection, limit=_LONGEST_LINE
        )
        self._open.set()
        try:
            with contextlib.suppress(ConnectionError):
                # What a process wrote while it died may lack its end.
                while (line := await reader.readline()).endswith(b"\n"):
                    self._take(json.loads(line))
        finally:
            self._gone = True
            for one in self._waiting.values():
                if not one.done():
                    one.set_exception(GoneError())
            self._writer.close()

    async def ask(self, what: str, **fields: Any) -> Any:
        """Have the other end do something, and return its answer.

        Raises
        ------
        GoneError
            It is gone.
        Refusal, TvmSparseError
            What it raised.
        """
        await self._open.wait()
        if self._gone:
            raise GoneError
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._send({"id": number, "ask": what, **fields})
        message = await self._waiting[number]
        if "refusal" in message:
            raise Refusal(*message["refusal"])
        if "error" in message:
            raise revive(message["error"], "answers requests")
        return message["result"]

    def _take(self, message: dict[str, Any]) -> None:
        if "ask" in message:
            task = asyncio.create_task(self._reply(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        waiting = self._waiting.pop(message["id"])
        if not waiting.done():  # who asked may have been cancelled
            waiting.set_result(message)

    async def _reply(self, message: dict[str, Any]) -> None:
        number, what = message.pop("id"), message.pop("ask")
        try:
            self._send({"id": number, "result": await self._answer(what, message)})
        except Refusal as error:
            refusal = [error.status, error.message, error.reason]
            self._send({"id": number, "refusal": refusal})
        except Exception as error:  # told to the other end, which raises it
            self._send({"id": number, "error": describe(error)})

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self._gone:
            self._writer.write(json.dumps(message).encode() + b"\n")
