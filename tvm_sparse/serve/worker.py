"""A process that answers, one of several: `python -m tvm_sparse.serve.worker FD LISTENING...`.

It serves what the supervisor tells it to, and asks the supervisor for what concerns all of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import uvloop

from tvm_sparse.errors import ConfigError
from tvm_sparse.records.read import check_settings
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.model_config import ModelConfig
from tvm_sparse.serve.peer import GoneError, Peer
from tvm_sparse.serve.refusal import not_now
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.server import Server
from tvm_sparse.serve.sites import HereSite
from tvm_sparse.serve.statistics import ServerCounts, counts_from, counts_to


class FarControl:
    """Who decides which models there are, in the supervisor.

    Parameters
    ----------
    peer : Peer
        Speaks to it.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def load(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Load or renew a model; see `Repository.load`."""
        await self._ask("load", name=name, parameters=dict(parameters))

    async def unload(self, name: str) -> None:
        """Take a model away; see `Repository.unload`."""
        await self._ask("unload", name=name)

    async def statistics(self) -> ServerCounts:
        """Return what happened, in all processes."""
        found = await self._ask("statistics")
        return ServerCounts(counts_from(found["models"]), found["config_failures"])

    async def _ask(self, what: str, **fields: Any) -> Any:
        try:
            return await self._peer.ask(what, **fields)
        except GoneError:
            raise not_now("the server is ending") from None


class Worker:
    """Serves in this process.

    Parameters
    ----------
    connection : socket
        To the supervisor.
    listening : socket
        Where requests come, to one of them.
    """

    def __init__(self, connection: socket.socket, *listening: socket.socket) -> None:
        self._listening = listening
        self._peer = Peer(connection, self._answer)
        self._repository = Repository(control=FarControl(self._peer))
        self._site = HereSite(self._repository)
        self._config: ServeConfig | None = None
        self._server: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM, or until the supervisor is gone."""
        talk = asyncio.create_task(self._peer.run())
        ended = asyncio.create_task(self._ended.wait())
        await asyncio.wait([ended, talk], return_when=asyncio.FIRST_COMPLETED)
        if self._server is not None:
            self._serving.should_exit = True
            await self._server
        self._repository.close()

    async def _answer(self, what: str, fields: dict[str, Any]) -> Any:
        """Do what the supervisor asks; see `Site`."""
        site = self._site
        if what == "begin":
            self._begin(**fields)
        elif what == "listen":
            await self._listen()
        elif what == "prepare":
            one = check_settings(fields["model"], ModelConfig, fields["where"], ConfigError)
            await site.prepare(one, fields["where"], fields["directory"])
        elif what == "counts":
            return counts_to(await site.counts())
        else:
            await getattr(site, what)(**fields)
        return None

    def _begin(self, place: int, config: dict[str, Any], cores: list[int], first: bool) -> None:
        """Take note of where to listen, what will be served, on which cores, and who waits."""
        here = self._listening[place]
        for bound in self._listening:
            if bound is not here:
                bound.close()
        self._listening = (here,)
        if cores:
            os.sched_setaffinity(0, cores)
        self._config = check_settings(config, ServeConfig, "worker", ConfigError)
        self._repository.share(self._config)
        if first:
            self._repository.expect(self._config)

    async def _listen(self) -> None:
        """Begin to answer requests."""
        assert self._config is not None
        config = self._config
        self._serving = Server(self._repository, config.http, config.grpc, shared=True)
        self._server = asyncio.create_task(self._serving.serve(list(self._listening)))
        while not (self._serving.started or self._server.done()):
            await asyncio.sleep(0.002)
        if self._server.done():
            await self._server  # the supervisor is told why
        self._server.add_done_callback(lambda _: self._ended.set())  # SIGTERM ends it


def main() -> None:
    """Serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor's to decide
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sockets = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
        uvloop.run(Worker(*sockets).run())


if __name__ == "__main__":
    main()
