"""The description of the interface: whole, right, and what the server does."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tvm_sparse.serve.addresses import ADDRESSES
from tvm_sparse.serve.config import ControlConfig
from tvm_sparse.serve.openapi.bodies import body_example
from tvm_sparse.serve.openapi.describe import describe_api
from tvm_sparse.serve.pipeline_bodies import BODIES, is_pipeline_body
from tvm_sparse.serve.repository import Repository

pytestmark = pytest.mark.e2e


def document(server) -> dict:
    with urllib.request.urlopen(f"http://{server.address}/openapi.json", timeout=30) as response:
        return json.load(response)


def test_it_names_every_address(server) -> None:
    described = document(server)
    assert described["openapi"] == "3.1.0"
    paths = {one.path for one in ADDRESSES if one.tag and one.tag != "control"}
    asked = {f"/v2/models/{name}/infer" for name in server.repository.models}
    assert set(described["paths"]) == paths | asked | set(server.repository.routes)
    operations = [one for path in described["paths"].values() for one in path.values()]
    assert max(Counter(one["operationId"] for one in operations).values()) == 1
    assert all(is_pipeline_body(task, body_example(task)) for task in BODIES)


def test_its_examples_are_answered(server) -> None:
    for path, methods in document(server)["paths"].items():
        for method, operation in methods.items():
            for name in ("name", "version"):
                given = [one for one in operation.get("parameters", ()) if one["name"] == name]
                if given:
                    path = path.replace(f"{{{name}}}", given[0]["schema"]["enum"][0])
            content = operation.get("requestBody", {}).get("content", {})
            body = [json.dumps(one["example"]).encode() for one in content.values()]
            request = urllib.request.Request(
                f"http://{server.address}{path}", *body, method=method.upper()
            )
            with urllib.request.urlopen(request, timeout=30) as response:
                assert response.status == 200


def test_models_that_are_not_loaded_may_be_named_to_be_loaded(server) -> None:
    config = replace(server.repository.config, control=ControlConfig(load_unload=True))
    described = describe_api(Repository(config=config), ADDRESSES)
    (name,) = described["paths"]["/v2/repository/models/{name}/load"]["post"]["parameters"]
    assert name["schema"] == {"type": "string"}


def test_the_server_does_what_it_says(server, tmp_path) -> None:
    """Requests that schemathesis makes of it, right and wrong ones, for every operation.

    Not every request that fits the schemas can be answered: JSON Schema cannot say that a shape
    must fit its data.
    """
    tool = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            *(tool, "run", f"http://{server.address}/openapi.json", "--no-color", "--no-shrink"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "5"),
            *("--generation-deterministic", "--exclude-checks", "positive_data_acceptance"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
