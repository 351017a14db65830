from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version

import pytest

from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.host import detect_host

pytestmark = pytest.mark.unit


def test_what_it_says_is_true() -> None:
    environment = detect_environment(threads=2)
    host = detect_host()
    assert (environment.cpu_model, environment.isa) == (host.model, host.isa)
    assert (environment.threads, environment.cores) == (2, host.cores)
    assert environment.versions["tvm"] == version("apache-tvm")
    assert environment.versions["numpy"] == version("numpy")
    assert environment.memory_bytes > 1 << 20
    assert json.loads(json.dumps(asdict(environment))) == asdict(environment)
