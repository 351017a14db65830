"""A server of one process: it answers, and decides which models there are."""

from __future__ import annotations

import asyncio
import socket
import warnings
from collections.abc import Callable

import uvloop

from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.control import ModelControl
from tvm_sparse.serve.fleet import Fleet
from tvm_sparse.serve.listening import join, listen, reserve
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.server import Server
from tvm_sparse.serve.sites import HereSite
from tvm_sparse.serve.snapshots import Snapshots, copies
from tvm_sparse.serve.watch import Watch


def run(config: ServeConfig, say: Callable[[str], None], path: str | None = None) -> None:
    """Serve until a signal; see `serve.run.serve`."""
    repository, faults = Repository(), []
    repository.share(config)
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
        control = ModelControl(config, Fleet([HereSite(repository)], say, snapshots))
        repository.control = control
        loading = asyncio.create_task(load(control))
        try:
            await server.serve([bound])
        finally:  # it may not even have begun
            loading.cancel()
            await asyncio.wait([loading])

    with listen(config.http) as bound, copies(config) as snapshots, warnings.catch_warnings():
        # Texts that were cut, and the like: nobody reads them here.
        warnings.simplefilter("ignore")
        host, port = bound.getsockname()[:2]
        say(f"listening on http://{join(host, port)}")
        if grpc is not None:
            say(f"listening on grpc://{join(grpc.host, grpc.port)}")
        uvloop.run(answer(bound, snapshots))
    repository.close()
    if faults:
        raise faults[0]
    say("ended")
