"""What is written down of requests."""

from __future__ import annotations

import http.client
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
from running_server import load_models, running

from tvm_sparse.errors import ConfigError
from tvm_sparse.serve.access_log import AccessLog
from tvm_sparse.serve.config import LogConfig, ServeConfig
from tvm_sparse.serve.repository import Repository

pytestmark = pytest.mark.e2e

SECRET = "the red bird"


def texts(name: str) -> dict[str, Any]:
    return {"name": name, "datatype": "BYTES", "shape": [1], "data": [SECRET]}


def test_a_line_for_each_request(tmp_path: Path, config: ServeConfig) -> None:
    path = tmp_path / "access.log"
    path.write_text("what was there\n")
    repository = Repository()
    log = LogConfig(access=True, file=str(path))
    load_models(replace(config, models=config.models[:1], log=log), repository)
    asked = [
        ("GET", "/v2/health/live", None),
        ("POST", "/v2/models/embed/infer", {"id": "a\nb", "inputs": [texts("TEXT")]}),
        ("POST", "/predict/embed", {"inputs": SECRET}),
        ("POST", "/v2/models/none/infer", {"inputs": [texts("TEXT")]}),
        ("POST", "/v2/models/embed/infer", {"id": "c", "inputs": [texts("WORDS")]}),
    ]
    with running(repository) as server:
        connection = http.client.HTTPConnection(server.address, timeout=30)
        sizes = []
        for method, where, document in asked:
            body = None if document is None else json.dumps(document).encode()
            connection.request(method, where, body)
            answer = connection.getresponse().read()
            # Nobody reads a body that is for no model.
            sizes.append((len(body or b"") if "none" not in where else 0, len(answer)))
        connection.close()
        with grpc.InferenceServerClient(server.grpc_address) as client:
            text = grpc.InferInput("TEXT", [1], "BYTES")
            text.set_data_from_numpy(np.array([SECRET], object))
            client.infer("embed", [text], request_id="d")
    first, *lines = path.read_text().splitlines()
    assert first == "what was there"
    assert SECRET not in "".join(lines)
    rows = [json.loads(line) for line in lines]
    assert [(one["method"], one["path"]) for one in rows[:5]] == [one[:2] for one in asked]
    assert [(one["bytes_in"], one["bytes_out"]) for one in rows[:5]] == sizes
    assert [one["status"] for one in rows] == [200, 200, 200, 404, 400, 200]
    assert [one["id"] for one in rows] == ["", "a\nb", "", "", "c", "d"]
    assert [one["model"] for one in rows] == ["", "embed", "embed", "", "", "embed"]
    for one in rows:
        answered = one["model"] != ""
        assert (one["compute_us"] > 0) == answered
        assert one["queue_us"] + one["compute_us"] <= one["total_us"]


def test_lines_of_text_stay_lines(tmp_path: Path, config: ServeConfig) -> None:
    path = tmp_path / "access.log"
    repository = Repository()
    log = LogConfig(access=True, format="text", file=str(path))
    load_models(replace(config, models=config.models[:1], log=log), repository)
    with running(repository) as server:
        connection = http.client.HTTPConnection(server.address, timeout=30)
        body = json.dumps({"id": 'a\n" status=500', "inputs": [texts("TEXT")]})
        connection.request("POST", "/v2/models/embed/infer", body)
        assert connection.getresponse().read()
        connection.close()
    (line,) = path.read_text().splitlines()
    assert 'id="a\\n\\" status=500" method="POST" path="/v2/models/embed/infer"' in line
    assert ' model="embed" status=200 ' in line


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^log.file: .* cannot be written: Is a directory$"):
        AccessLog(LogConfig(file=str(tmp_path)))
