"""DeepSparse's routes, metrics, readiness, and the command that serves."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from command_line import Sandbox, command
from prometheus_client.parser import text_string_to_metric_families
from tokenizers import Tokenizer

import tvm_sparse

pytestmark = pytest.mark.e2e


def fetch(address: str, path: str, document: object = None) -> bytes:
    body = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(f"http://{address}{path}", body, timeout=30) as response:
        return response.read()


def test_predict_routes(server, artifacts) -> None:
    answer = json.loads(fetch(server.address, "/predict/embed", {"inputs": ["a bird", "fish"]}))
    wanted = tvm_sparse.load(artifacts["encoder"], threads=1).encode(["a bird", "fish"])
    np.testing.assert_allclose(answer["embeddings"], wanted, rtol=1e-6, atol=1e-6)
    pipeline = tvm_sparse.pipeline("text-classification", artifacts["classes"], threads=1)
    found = pipeline(["a bird", {"text": "fish", "text_pair": "a tree"}])
    body = {"sequences": ["a bird", ["fish", "a tree"]]}
    # The same where the protocol asks models: told apart by the body.
    for path in ("/predict/sentiment", "/v2/models/classes/infer"):
        answer = json.loads(fetch(server.address, path, body))
        assert answer["labels"] == [one["label"] for one in found]
        np.testing.assert_allclose(answer["scores"], [one["score"] for one in found], rtol=1e-6)


def test_metrics_move(server, artifacts) -> None:
    def metrics() -> dict[tuple[str, str], float]:
        families = text_string_to_metric_families(fetch(server.address, "/metrics").decode())
        samples = [sample for family in families for sample in family.samples]
        return {
            (one.name.removesuffix("_total"), one.labels.get("reason", "")): one.value
            for one in samples
            if one.labels.get("model") == "embed"
        }

    before = metrics()
    fetch(server.address, "/predict/embed", {"inputs": ["a bird", "fish"]})
    with pytest.raises(urllib.error.HTTPError):
        fetch(server.address, "/predict/embed", {"inputs": ["a"], "more": 1})
    after = metrics()
    moved = {name: value - before[name] for name, value in after.items()}
    assert moved["nv_inference_request_success", ""] == 1
    assert moved["nv_inference_count", ""] == 2
    assert moved["nv_inference_request_failure", "OTHER"] == 1
    assert moved["nv_inference_exec_count", ""] == 1
    whole = moved["nv_inference_request_duration_us", ""]
    assert 0 < moved["nv_inference_compute_infer_duration_us", ""] <= whole
    assert after["nv_inference_pending_request_count", ""] == 0
    tokenizer = Tokenizer.from_file(str(artifacts["encoder"] / "tokenizer.json"))
    wanted = sum(len(tokenizer.encode(text).ids) for text in ("a bird", "fish"))
    assert moved["tvm_sparse_tokens", ""] == wanted
    # The build is of one shape, (2, 24).
    assert moved["tvm_sparse_padding_tokens", ""] == 48 - wanted
    padding, tokens = (after[f"tvm_sparse_{name}", ""] for name in ("padding_tokens", "tokens"))
    share = padding / (padding + tokens)
    assert after["tvm_sparse_padding_share", ""] == pytest.approx(share, abs=1e-6)


def test_the_command_serves_until_it_is_told_to_end(tmp_path, artifacts) -> None:
    path = Path(tmp_path) / "serve.yaml"
    path.write_text(
        f"http: {{port: 0}}\ncores: 1\nmodels: [{{name: embed, model: {artifacts['encoder']}}}]"
    )
    environment = Sandbox(tmp_path).environment()
    arguments = command("serve", path)
    checked = subprocess.run(
        [*arguments, "--check"], env=environment, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout == "embed: tiny, dense, sentence-embedding\n"
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) as child:
        address = child.stderr.readline().split("http://")[1].strip()
        assert json.loads(fetch(address, "/v2"))["name"] == "tvm_sparse"
        assert child.stderr.readline() == "ready: embed, embed-tensors\n"
        fetch(address, "/v2/health/ready")
        fetch(address, "/predict/embed", {"inputs": "fish"})
        child.send_signal(signal.SIGTERM)
        assert child.stderr.read() == "ended\n"
    assert child.returncode == 0


def test_a_model_that_cannot_be_loaded_ends_the_server(tmp_path, artifacts) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for file in artifacts["encoder"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "tokenizer.json").write_text("{}")
    done = subprocess.run(
        command("serve", folder, "--port", "0"),
        env=Sandbox(tmp_path).environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "tokenizer.json" in done.stderr
