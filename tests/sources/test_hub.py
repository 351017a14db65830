"""A hub that is there, slow, or gone, and its cache."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path

import pytest
from source_checkpoints import make_checkpoint, resolve

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import CheckpointError
from tvm_sparse.sources import hub
from tvm_sparse.sources.presets import load_presets
from tvm_sparse.sources.source import resolve_source

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("empty_hub_cache")]


def cache_on_hub(cache: Path, preset) -> Path:
    """A preset's checkpoint in the hub's cache; return its directory."""
    repo = cache / f"models--{preset.hub_id.replace('/', '--')}"
    snapshot = make_checkpoint(repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    return snapshot


@pytest.mark.parametrize("policy", ["auto", "checkpoint"])
def test_cached_hub_pickle_is_taken_as_in_a_directory(empty_hub_cache, policy):
    snapshot = cache_on_hub(empty_hub_cache, load_presets()["bert-tiny"])
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    assert resolve("bert-tiny", weights=policy).weights_format == "bin"
    (snapshot / "pytorch_model.bin").rename(snapshot / "weights.bin")
    with pytest.raises(CheckpointError, match=r"only in weights\.bin.*convert it"):
        resolve("bert-tiny", weights=policy)
    assert resolve("bert-tiny", weights="random").kind == "random"


def test_cached_hub_checkpoint_is_used_without_network(empty_hub_cache):
    preset = load_presets()["bert-tiny"]
    snapshot = cache_on_hub(empty_hub_cache, preset)
    source = resolve("bert-tiny")
    assert (source.kind, source.directory) == ("checkpoint", str(snapshot))
    assert preset.hub_id in source.detail
    assert source.task == "encoder"


class _Hub(http.server.BaseHTTPRequestHandler):
    """Serves one repository as the hub does: a listing, and files with a commit and an etag."""

    files: dict[str, bytes]

    def do_HEAD(self):
        self._serve(body=False)

    def do_GET(self):
        self._serve(body=True)

    def _serve(self, body: bool):
        name = self.path.split("?")[0].rsplit("/", 1)[-1]
        if self.path.startswith("/api/models/"):
            siblings = [{"rfilename": n, "size": len(b)} for n, b in self.files.items()]
            content = json.dumps({"id": "someone/tiny", "siblings": siblings}).encode()
        elif name in self.files:
            content = self.files[name]
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{name}"')
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


def _go_online(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    # The library reads the variable when it is imported, in whichever test that happens.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture
def served(checkpoint, monkeypatch):
    """A hub on this machine that has `someone/tiny`; yields its files to be changed."""
    files = {p.name: p.read_bytes() for p in checkpoint.iterdir()}
    handler = type("Handler", (_Hub,), {"files": files})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _go_online(monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield files
    server.shutdown()
    thread.join()
    server.server_close()


def test_hub_model_is_downloaded_once(served, empty_hub_cache, monkeypatch):
    lines: list[str] = []
    source = resolve_source(ModelSpec("someone/tiny"), lines.append)
    assert source.kind == "checkpoint"
    assert Path(source.directory).is_relative_to(empty_hub_cache)
    assert source.detail == "checkpoint someone/tiny (downloaded)"
    assert any("downloading someone/tiny" in line for line in lines)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert resolve("someone/tiny").fingerprint == source.fingerprint


def test_a_hub_model_comes_with_its_tokenizer(served):
    served |= {"tokenizer.json": b"{}", "modules.json": b"[]", "notes.txt": b"none"}
    source = resolve_source(ModelSpec("someone/tiny"))
    found = {path.name for path in Path(source.directory).iterdir()}
    assert {"tokenizer.json", "modules.json"} == found - {"config.json", "model.safetensors"}


def test_hub_model_with_pickled_weights_only(served):
    served["weights.bin"] = served.pop("model.safetensors")
    for policy in ("auto", "checkpoint"):
        with pytest.raises(CheckpointError, match=r"only in weights\.bin"):
            resolve("someone/tiny", weights=policy)
    served["pytorch_model.bin"] = served.pop("weights.bin")
    assert resolve("someone/tiny").weights_format == "bin"
    source = resolve("someone/tiny", weights="random")
    assert source.kind == "random"


def test_a_hub_that_does_not_answer_costs_a_short_wait(monkeypatch):
    _go_online(monkeypatch)
    asked = threading.Event()
    released = threading.Event()

    def hang(*arguments, **options):
        asked.set()
        released.wait(60)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", hang)
    monkeypatch.setattr(hub, "WAIT_S", 0.1)
    source = resolve("bert-tiny")
    released.set()
    assert asked.is_set()
    assert source.detail.endswith("did not answer within 0.1 s")


def test_a_hub_that_refuses_the_connection(monkeypatch):
    _go_online(monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "not reachable" in resolve("bert-tiny").detail
