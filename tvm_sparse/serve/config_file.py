"""Where a configuration comes from: a file, checked once, or one directory; and an address."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from tvm_sparse.errors import ConfigError
from tvm_sparse.records.read import check_settings
from tvm_sparse.records.yaml_file import read_yaml
from tvm_sparse.serve.address_config import GrpcConfig
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.deepsparse import from_deepsparse, is_deepsparse
from tvm_sparse.serve.model_config import ModelConfig


def read_config(path: str | os.PathLike[str]) -> tuple[ServeConfig, list[str]]:
    """Read a YAML file that says what to serve, one for DeepSparse's server among them.

    Returns
    -------
    config : ServeConfig
        What it says.
    notes : list of str
        What of it has no meaning here, a line.

    Raises
    ------
    ConfigError
        It cannot be read, or a field is unknown, missing or of another type.
    """
    document = read_yaml(path, ConfigError)
    notes: list[str] = []
    if is_deepsparse(document):
        document, notes = from_deepsparse(document, str(path))
    return check_settings(document, ServeConfig, str(path), ConfigError), notes


def single(directory: str, task: str | None) -> ServeConfig:
    """Return what serves the artifact in one directory under its name."""
    name = re.sub(r"[^\w.-]", "-", Path(directory).resolve().name, flags=re.ASCII)
    name = re.sub(r"^[.-]+", "", name)[:80] or "model"
    return ServeConfig((ModelConfig(name, directory, task),))


def with_address(
    config: ServeConfig, host: str | None, port: int | None, grpc_port: int | None = None
) -> ServeConfig:
    """Return a configuration with another host or other ports, where these are given."""
    http, grpc = config.http, config.grpc
    if grpc_port is not None:
        grpc = replace(grpc or GrpcConfig(host=http.host), port=grpc_port)
    if host is not None:
        http, grpc = replace(http, host=host), grpc and replace(grpc, host=host)
    if port is not None:
        http = replace(http, port=port)
    return replace(config, http=http, grpc=grpc)
