"""A server in a thread of this process, with two small models of texts."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from text_artifact import build_text_artifact

from tvm_sparse.serve.config import HttpConfig, ModelConfig, QueueConfig, ServeConfig
from tvm_sparse.serve.repository import Repository, load_models
from tvm_sparse.serve.server import Server, listen


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes
    ----------
    address : str
        host:port.
    repository : Repository
        What it serves.
    """

    address: str
    repository: Repository


@contextmanager
def running(repository: Repository, http: HttpConfig | None = None) -> Iterator[Running]:
    http = http or HttpConfig(port=0)
    server = Server(repository, http)

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
            yield Running(f"{host}:{port}", repository)
        finally:
            server.should_exit = True
            thread.join()
            repository.close()


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("serve")
    tasks = {"encoder": "feature-extraction", "classes": "text-classification"}
    return {name: build_text_artifact(folder / name, task) for name, task in tasks.items()}


@pytest.fixture(scope="session")
def config(artifacts: dict[str, Path]) -> ServeConfig:
    queue = QueueConfig(max_size=16, timeout_ms=20_000)
    models = [
        ModelConfig("embed", str(artifacts["encoder"]), queue=queue),
        ModelConfig("tokens", str(artifacts["encoder"]), "feature-extraction", queue=queue),
        ModelConfig("classes", str(artifacts["classes"]), route="sentiment", queue=queue),
    ]
    return ServeConfig(tuple(models), HttpConfig(port=0, max_body_mb=1), cores=1)


@pytest.fixture(scope="session")
def server(config: ServeConfig) -> Iterator[Running]:
    repository = Repository()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_models(config, repository)
    with running(repository, config.http) as answering:
        yield answering
