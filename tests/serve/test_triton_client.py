"""Triton's client for HTTP: documents, binary data and JSON, statistics, many at once."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import tritonclient.http as http
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException

import tvm_sparse

pytestmark = pytest.mark.e2e

TEXTS = ["the red bird", "a tree, and then some more of it", "fish"]


@pytest.fixture
def client(server):
    with http.InferenceServerClient(server.address) as one:
        yield one


def text_input(texts: list[str], name: str = "TEXT", binary: bool = True) -> http.InferInput:
    made = http.InferInput(name, [len(texts)], "BYTES")
    made.set_data_from_numpy(np.array(texts, object), binary_data=binary)
    return made


def test_what_is_said_of_server_and_models(client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("embed")
    assert client.is_model_ready("embed", "1")
    assert not client.is_model_ready("nothing")
    server = client.get_server_metadata()
    assert (server["name"], server["version"]) == ("tvm_sparse", tvm_sparse.__version__)
    assert "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata("embed")
    assert model["inputs"] == [{"name": "TEXT", "datatype": "BYTES", "shape": [-1]}]
    assert model["outputs"] == [{"name": "EMBEDDING", "datatype": "FP32", "shape": [-1, -1]}]
    config = client.get_model_config("embed-tensors")
    assert config["input"][0] == {"name": "input_ids", "data_type": "TYPE_INT32", "dims": [2, 24]}
    index = client.get_model_repository_index()
    assert {(row["name"], row["state"]) for row in index} == {
        (name + end, "READY") for name in ("embed", "tokens", "classes") for end in ("", "-tensors")
    }
    with pytest.raises(InferenceServerException, match="load / unload is not allowed"):
        client.load_model("embed")


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_embeddings_are_those_of_the_pipeline(client, artifacts, binary, packing) -> None:
    outputs = [http.InferRequestedOutput("EMBEDDING", binary_data=binary)]
    answer = client.infer(
        "embed",
        [text_input(TEXTS, binary=binary)],
        outputs=outputs,
        request_id="seven",
        request_compression_algorithm=packing,
        response_compression_algorithm=packing,
    )
    wanted = tvm_sparse.load(artifacts["encoder"], threads=1).encode(TEXTS)
    np.testing.assert_allclose(answer.as_numpy("EMBEDDING"), wanted, rtol=1e-6, atol=1e-6)
    assert answer.get_response()["id"] == "seven"
    assert answer.get_response()["model_version"] == "1"


def test_states_of_texts_of_many_lengths(client, artifacts) -> None:
    pipeline = tvm_sparse.pipeline("feature-extraction", artifacts["encoder"], threads=1)
    answer = client.infer("tokens", [text_input(TEXTS)])
    states = np.split(answer.as_numpy("FEATURES"), np.cumsum(answer.as_numpy("TOKENS"))[:-1])
    for found, wanted in zip(states, pipeline(TEXTS), strict=True):
        np.testing.assert_allclose(found, wanted[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("datatype", ["INT32", "INT64"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_tensors(client, artifacts, binary, datatype) -> None:
    ids = np.arange(48).reshape(2, 24).astype(f"int{datatype[3:]}")
    made = http.InferInput("input_ids", ids.shape, datatype)
    made.set_data_from_numpy(ids, binary_data=binary)
    answer = client.infer("embed-tensors", [made])
    wanted = tvm_sparse.load(artifacts["encoder"], threads=1).run(input_ids=ids)
    np.testing.assert_array_equal(answer.as_numpy("last_hidden_state"), wanted["last_hidden_state"])


def test_statistics_move(client) -> None:
    before = client.get_inference_statistics("embed")["model_stats"][0]
    client.infer("embed", [text_input(TEXTS)])
    with pytest.raises(InferenceServerException):
        client.infer("embed", [text_input(TEXTS, "WORDS")])
    after = client.get_inference_statistics("embed")["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 3
    assert after["execution_count"] > before["execution_count"]
    success = [one["inference_stats"]["success"]["count"] for one in (before, after)]
    assert success[1] == success[0] + 1
    assert len(client.get_inference_statistics()["model_stats"]) == 6


def test_many_at_once_get_their_own_answers(server, artifacts) -> None:
    texts = [" ".join(["bird", "tree", "fish"][: 1 + i % 3]) + " a" * (i % 5) for i in range(48)]
    wanted = tvm_sparse.load(artifacts["encoder"], threads=1).encode(texts)

    async def ask() -> list[np.ndarray]:
        async with http_aio.InferenceServerClient(server.address, conn_limit=12) as client:
            free = asyncio.Semaphore(12)  # the queue has room for 16

            async def one(text: str) -> np.ndarray:
                async with free:
                    answer = await client.infer("embed", [text_input([text])])
                return answer.as_numpy("EMBEDDING")[0]

            return await asyncio.gather(*map(one, texts))

    np.testing.assert_allclose(asyncio.run(ask()), wanted, rtol=1e-6, atol=1e-6)
