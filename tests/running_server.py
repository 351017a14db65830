"""A server in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import uvloop

from tvm_sparse.serve.address_config import GrpcConfig, HttpConfig
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.control import ModelControl
from tvm_sparse.serve.fleet import Fleet
from tvm_sparse.serve.listening import listen, reserve
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.server import Server
from tvm_sparse.serve.sites import HereSite


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes
    ----------
    address, grpc_address : str
        host:port.
    repository : Repository
        What it serves.
    """

    address: str
    grpc_address: str
    repository: Repository


def until(condition: Callable[[], bool]) -> None:
    for _ in range(4000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never came to that")


def load_models(config: ServeConfig, repository: Repository) -> None:
    repository.share(config)
    asyncio.run(ModelControl(config, Fleet([HereSite(repository)], lambda _: None)).start())


@contextmanager
def running(
    repository: Repository, http: HttpConfig | None = None, grpc: GrpcConfig | None = None
) -> Iterator[Running]:
    http = http or HttpConfig(port=0)
    grpc = reserve(grpc or GrpcConfig(port=0))
    server = Server(repository, http, grpc)

    def serve() -> None:
        with closing(uvloop.new_event_loop()) as loop:
            loop.run_until_complete(server.serve([bound]))

    with listen(http) as bound:
        thread = threading.Thread(target=serve)
        host, port = bound.getsockname()
        thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            yield Running(f"{host}:{port}", f"{grpc.host}:{grpc.port}", repository)
        finally:
            server.should_exit = True
            thread.join()
            repository.close()
