"""A server with two small models of texts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_server import Running, load_models, running
from text_artifact import build_text_artifact

from tvm_sparse.serve.address_config import GrpcConfig, HttpConfig
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.model_config import ModelConfig, QueueConfig
from tvm_sparse.serve.repository import Repository


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
    http, grpc = HttpConfig(port=0, max_body_mb=1), GrpcConfig(port=0, max_message_mb=1)
    return ServeConfig(tuple(models), http, grpc, cores=1)


@pytest.fixture(scope="session")
def server(config: ServeConfig) -> Iterator[Running]:
    repository = Repository()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_models(config, repository)
    with running(repository, config.http, config.grpc) as answering:
        yield answering
