"""The process that serves: one event loop, loading in the background, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import uvicorn
import uvloop

from tvm_sparse.errors import ConfigError
from tvm_sparse.serve.app import App
from tvm_sparse.serve.config import GrpcConfig, HttpConfig, ServeConfig
from tvm_sparse.serve.control import ModelControl
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.sites import HereSite
from tvm_sparse.serve.snapshots import Snapshots, copies
from tvm_sparse.serve.watch import Watch

#: Pooled clients keep connections for about a minute.
_KEEP_ALIVE_S = 75
#: What is under way when the server is told to end gets so long.
_DRAIN_S = 30
_BACKLOG = 2048
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
    """

    def __init__(
        self, repository: Repository, http: HttpConfig, grpc: GrpcConfig | None = None
    ) -> None:
        self._repository, self._grpc = repository, grpc
        self._calls: Any = None  # what answers them, once it does
        settings = uvicorn.Config(
            App(repository, http.max_body_mb << 20),
            http="httptools",
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

            self._calls = await start(self._repository, self._grpc)
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way."""
        ends = [super().shutdown(sockets)]
        if self._calls is not None:
            ends.append(self._calls.stop(_DRAIN_S))
        await asyncio.gather(*ends)

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


def run(config: ServeConfig, say: Callable[[str], None], path: str | None = None) -> None:
    """Serve until a signal; see `serve.run.serve`."""
    repository, faults = Repository(), []
    repository.expect(config)
    grpc = config.grpc and reserve(config.grpc)
    server = Server(repository, config.http, grpc)

    async def load(control: ModelControl) -> None:
        try:
            await control.start()
            say(f"ready: {', '.join(repository.models)}")
            if config.control.watch:
                await Watch(control, path, say).run()
        except Exception as error:  # raised below
            faults.append(error)
            server.should_exit = True

    async def answer(bound: socket.socket, snapshots: Snapshots | None) -> None:
        control = ModelControl(config, [HereSite(repository)], say, snapshots)
        repository.control = control
        loading = asyncio.create_task(load(control))
        await server.serve([bound])
        loading.cancel()

    with listen(config.http) as bound, copies(config) as snapshots, warnings.catch_warnings():
        # Texts that were cut, and the like: nobody reads them here.
        warnings.simplefilter("ignore")
        host, port = bound.getsockname()[:2]
        say(f"listening on http://{_join(host, port)}")
        if grpc is not None:
            say(f"listening on grpc://{_join(grpc.host, grpc.port)}")
        with contextlib.closing(uvloop.new_event_loop()) as loop:
            loop.run_until_complete(answer(bound, snapshots))
    repository.close()
    if faults:
        raise faults[0]
    say("ended")


@contextlib.contextmanager
def listen(address: HttpConfig | GrpcConfig) -> Iterator[socket.socket]:
    """Yield a socket that listens at an address.

    Raises
    ------
    ConfigError
        It is taken, or none of this machine.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((address.host, address.port))
            bound.listen(_BACKLOG)
        except OSError as error:
            reason = error.strerror or error
            section = "http" if isinstance(address, HttpConfig) else "grpc"
            raise ConfigError(
                f"{_join(address.host, address.port)} cannot be listened at ({reason}): give "
                f"another {section}.host or {section}.port"
            ) from None
        yield bound


def reserve(grpc: GrpcConfig) -> GrpcConfig:
    """Return where gRPC will listen, which opens its port itself: one that is free.

    Raises
    ------
    ConfigError
        See `listen`.
    """
    with listen(grpc) as bound:
        return replace(grpc, port=bound.getsockname()[1])


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
