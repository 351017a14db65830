"""A process that answers, as the supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from tvm_sparse.errors import BuildError
from tvm_sparse.processes.start import start
from tvm_sparse.serve.model_config import ModelConfig
from tvm_sparse.serve.peer import Answer, GoneError, Peer
from tvm_sparse.serve.statistics import Statistics, counts_from, counts_to

_MODULE = "tvm_sparse.serve.worker"


class WorkerSite:
    """A process that answers; a `Site`. What is asked of one that has died is nothing.

    Parameters
    ----------
    answer : callable
        Answers what it asks.
    listening : collection of socket
        Where requests come: it is told later at which of them it answers.

    Raises
    ------
    BuildError
        It cannot be started.
    """

    def __init__(self, answer: Answer, listening: Collection[socket.socket]) -> None:
        self._listening = tuple(listening)
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as stack:
            stack.enter_context(ours)
            try:
                self.process = start(_MODULE, theirs, stack, kept=self._listening)
            except OSError as error:
                raise BuildError(f"a process that answers cannot be started: {error}") from None
            self._open = stack.pop_all()
        self.peer = Peer(ours, answer)
        self.talk = asyncio.create_task(self.peer.run())
        self.last: dict[str, Statistics] = {}

    def close(self) -> None:
        """End it, whatever it does."""
        self._open.close()

    async def begin(self, listening: socket.socket, **fields: Any) -> None:
        """Tell it what it is for, and at which of its sockets it will answer."""
        await self.ask("begin", place=self._listening.index(listening), **fields)

    async def ask(self, what: str, **fields: Any) -> Any:
        """Have it do something."""
        with contextlib.suppress(GoneError):
            return await self.peer.ask(what, **fields)

    async def prepare(self, one: ModelConfig, where: str, directory: str) -> None:
        """Load a model beside what is served."""
        model = msgspec.to_builtins(one)
        await self.ask("prepare", model=model, where=where, directory=directory)

    async def abandon(self, names: Collection[str], faults: Mapping[str, str]) -> None:
        """Forget some that were loaded, and note why."""
        await self.ask("abandon", names=list(names), faults=dict(faults))

    async def commit(self, name: str) -> None:
        """Have it take requests."""
        await self.ask("commit", name=name)

    async def retire(self, name: str, reason: str) -> None:
        """Take a model away."""
        await self.ask("retire", name=name, reason=reason)

    async def counts(self) -> dict[str, Statistics]:
        """Return what happened to requests."""
        self.last = counts_from(await self.ask("counts") or counts_to(self.last))
        return self.last
