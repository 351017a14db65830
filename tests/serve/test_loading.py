"""Models that come and go while the server answers."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
import tritonclient.http as http
from running_server import Running, running
from tritonclient.utils import InferenceServerException

from tvm_sparse.runtime.metadata import LIBRARY_FILE
from tvm_sparse.serve.address_config import HttpConfig
from tvm_sparse.serve.config import ControlConfig, ServeConfig
from tvm_sparse.serve.control import ModelControl
from tvm_sparse.serve.deployment import deploy
from tvm_sparse.serve.fleet import Fleet
from tvm_sparse.serve.model_config import ModelConfig
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.sites import HereSite
from tvm_sparse.serve.snapshots import Snapshots
from tvm_sparse.serve.streams import Streams

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def root(artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two artifacts, a broken one, and links that lead out of it."""
    folder = tmp_path_factory.mktemp("roots")
    root = folder / "root"
    root.mkdir()
    for name in ("first", "second", "broken"):
        shutil.copytree(artifacts["encoder"], root / name)
    (root / "broken" / LIBRARY_FILE).write_bytes(b"nothing")
    (root / "inner").symlink_to(root / "first")
    (root / "outer").symlink_to(artifacts["encoder"])
    shutil.copytree(artifacts["encoder"], root / "part")
    (root / "part" / LIBRARY_FILE).unlink()
    (root / "part" / LIBRARY_FILE).symlink_to(artifacts["encoder"] / LIBRARY_FILE)
    shutil.copytree(artifacts["encoder"], folder / "beside")
    return root


@pytest.fixture
def server(artifacts: dict[str, Path], root: Path, tmp_path: Path) -> Iterator[Running]:
    models = (ModelConfig("embed", str(artifacts["encoder"])),)
    settings = ControlConfig(load_unload=True, roots=(str(root),))
    config = ServeConfig(models, HttpConfig(port=0), cores=1, control=settings)
    repository = Repository()
    repository.share(config)
    fleet = Fleet([HereSite(repository)], lambda _: None, Snapshots(tmp_path))
    control = ModelControl(config, fleet)
    repository.control = control
    asyncio.run(control.start())
    with running(repository, config.http) as answering:
        yield answering


@pytest.fixture
def client(server: Running) -> Iterator[http.InferenceServerClient]:
    with http.InferenceServerClient(server.address) as one:
        yield one


def states(client: http.InferenceServerClient) -> dict[str, str]:
    return {one["name"]: one["state"] for one in client.get_model_repository_index()}


def embed(client: http.InferenceServerClient, name: str, **more: Any) -> Any:
    text = http.InferInput("TEXT", [1], "BYTES")
    text.set_data_from_numpy(np.array(["the red bird"], object))
    return client.infer(name, [text], **more).as_numpy("EMBEDDING")


def test_models_come_and_go(client, server) -> None:
    client.load_model("first")
    np.testing.assert_array_equal(embed(client, "first"), embed(client, "embed"))
    config = {"model": "second", "task": "feature-extraction", "route": "x"}
    client.load_model("other", config=json.dumps(config))
    assert client.get_model_metadata("other")["outputs"][0]["name"] == "FEATURES"
    assert "/predict/x" in server.repository.routes
    client.unload_model("first")
    client.unload_model("embed")
    assert client.is_server_ready()
    assert not client.is_model_ready("embed")
    assert states(client) == {
        **dict.fromkeys(("first", "embed"), "UNAVAILABLE"),
        **dict.fromkeys(("other", "other-tensors"), "READY"),
    }
    client.load_model("embed")
    assert embed(client, "embed").shape == (1, 8)


def test_models_come_and_go_over_grpc(client, server) -> None:
    with grpc.InferenceServerClient(server.grpc_address) as asked:
        config = {"model": "second", "task": "feature-extraction"}
        asked.load_model("other", config=json.dumps(config))
        assert asked.get_model_metadata("other").outputs[0].name == "FEATURES"
        asked.unload_model("other")
        assert not asked.is_model_ready("other")
        assert states(client)["other"] == "UNAVAILABLE"
        for refused, message in (
            (lambda: asked.load_model("nothing"), "no artifact 'nothing' below control.roots"),
            (lambda: asked.unload_model("x"), "'x': no such model is loaded"),
            (
                lambda: asked.load_model("a", config="{}", files={"file:1/model.so": b"\0"}),
                "an artifact is native code",
            ),
        ):
            with pytest.raises(InferenceServerException, match=message) as error:
                refused()
            assert error.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_model_that_is_loaded_again_keeps_its_counts_and_frees_its_memory(client, server) -> None:
    maps = Path("/proc/self/maps")

    def mapped() -> int:
        return maps.read_text().count(LIBRARY_FILE)

    client.load_model("first")
    embed(client, "first")
    gc.collect()
    gc.disable()  # models must not wait for it
    try:
        before = mapped()
        for _ in range(3):
            fields = {"options": {"normalize_embeddings": False}}
            client.load_model("first", config=json.dumps(fields))
            embed(client, "first")
            for refused in ({"timeout": 1}, {"parameters": {"nothing": 1}}):
                with suppress(InferenceServerException):
                    embed(client, "first", **refused)
        assert mapped() == before
    finally:
        gc.enable()
    (counts,) = client.get_inference_statistics("first")["model_stats"]
    assert counts["inference_stats"]["success"]["count"] >= 4


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("nothing", {}, "no artifact 'nothing' below control.roots"),
        ("outer", {}, "no artifact 'outer' below control.roots"),
        ("part", {}, "no artifact 'part' below control.roots"),
        ("a", {"config": '{"model": "../beside"}'}, "no artifact '../beside' below control.roots"),
        ("a", {"config": '{"model": "BESIDE"}'}, "below control.roots"),
        ("embed", {"config": '{"model": "/etc"}'}, "no artifact '/etc' below control.roots"),
        ("a", {"config": '{"model": "first\\u0000"}'}, "below control.roots"),
        ("a", {"config": "{"}, "parameter 'config' is not valid JSON"),
        ("a", {"config": "[]"}, "parameter 'config' must be a JSON object"),
        ("a", {"config": '{"backend": "onnxruntime"}'}, "config: backend: unknown field"),
        ("first", {"config": '{"task": "ner"}'}, "failed to load 'first': first.task: task ner"),
        ("first", {"config": '{"route": "embed"}'}, "two have the route /predict/embed"),
        ("embed-tensors", {"config": '{"model": "first"}'}, "two have the name embed-tensors"),
        ("first", {"file:1/model.so": "AAAA"}, "an artifact is native code"),
        ("first", {"x": 1}, "unknown parameter 'x'"),
        ("broken", {}, "failed to load 'broken': .*: the artifact is damaged"),
        ("..", {}, "Expected str matching regex"),
    ],
)
def test_what_is_not_loaded(client, root, name, parameters, message) -> None:
    body = json.dumps({"parameters": parameters}).replace("BESIDE", str(root.parent / "beside"))
    answer = client._post(f"v2/repository/models/{name}/load", body, {}, {})
    assert answer.status_code == 400
    with pytest.raises(InferenceServerException, match=message):
        raise InferenceServerException(json.loads(answer.read())["error"])
    assert embed(client, "embed").shape == (1, 8)
    assert states(client) == dict.fromkeys(("embed", "embed-tensors"), "READY")


def test_a_model_goes_at_once_with_its_tokenizer(artifacts) -> None:
    one = ModelConfig("embed", str(artifacts["encoder"]))
    gc.disable()
    try:
        deployed = deploy(one, "models[0]", 1, Streams(1), {})
        (served, _), pipeline = deployed.served, deployed.route.answer.args[1]
        gone = [weakref.ref(each) for each in (served, pipeline, pipeline._model.tokenizer)]
        del deployed, served, _, pipeline
        assert [each() for each in gone] == [None] * 3
    finally:
        gc.enable()


def test_links_within_a_root(client) -> None:
    client.load_model("inner")
    assert client.is_model_ready("inner")


def test_what_is_not_unloaded(client) -> None:
    with pytest.raises(InferenceServerException, match="no such model is loaded: unload 'embed'"):
        client.unload_model("embed-tensors")
    with pytest.raises(InferenceServerException, match="'x': no such model is loaded"):
        client.unload_model("x")


def test_nothing_before_the_models_of_the_configuration(artifacts) -> None:
    config = ServeConfig(
        (ModelConfig("embed", str(artifacts["encoder"])),),
        HttpConfig(port=0),
        control=ControlConfig(load_unload=True),
    )
    control = ModelControl(config, Fleet([HereSite(Repository())], lambda _: None))
    with pytest.raises(Exception, match="are not loaded yet"):
        asyncio.run(control.load("embed", {}))
