"""The process that serves: one event loop, loading in the background, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn

from tvm_sparse.serve.address_config import GrpcConfig, HttpConfig
from tvm_sparse.serve.app import App
from tvm_sparse.serve.protocol import Protocol
from tvm_sparse.serve.repository import Repository

#: Pooled clients keep connections for about a minute.
_KEEP_ALIVE_S = 75
#: What is under way when the server is told to end gets so long.
_DRAIN_S = 30
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):  # type: ignore[misc]
    """Answers for a repository; SIGINT and SIGTERM end it in order, once.

    Parameters
    ----------
    repository : Repository
        What is served.
    http : HttpConfig
        Bounds of a request.
    grpc : GrpcConfig or None
        Where to answer gRPC as well.
    shared : bool
        Whether other processes answer there, too.
    """

    def __init__(
        self,
        repository: Repository,
        http: HttpConfig,
        grpc: GrpcConfig | None = None,
        shared: bool = False,
    ) -> None:
        self._repository, self._grpc, self._shared = repository, grpc, shared
        self._calls: Any = None  # what answers them, once it does
        settings = uvicorn.Config(
            App(repository, http.max_body_mb << 20),
            http=Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        super().__init__(settings)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        if self._grpc is not None:
            from tvm_sparse.serve.rpc.server import start  # only who asks for it loads gRPC

            self._calls = await start(self._repository, self._grpc, self._shared)
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way."""
        await asyncio.gather(super().shutdown(sockets), self._end_calls())

    async def _end_calls(self) -> None:
        if self._calls is None:
            return
        ending = asyncio.create_task(self._calls.stop(_DRAIN_S))
        while not ending.done() and not self.force_exit:
            await asyncio.wait([ending], timeout=0.1)
        await self._calls.stop(None)  # a second signal ends what is under way
        await ending

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Have the signals end the server, and not the process behind it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
