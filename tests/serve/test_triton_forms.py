"""Triton's client in its four forms: the same questions, the same answers, the same refusals."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
from running_server import running
from slow_model import Slow
from triton_forms import FORMS, Form

import tvm_sparse
from tvm_sparse.serve.repository import Repository

pytestmark = pytest.mark.e2e

TEXTS = ["the red bird", "a tree, and then some more of it", "fish"]
IDS = np.arange(48, dtype=np.int32).reshape(2, 24)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


def test_what_is_said_of_server_and_models(form, server) -> None:
    def yes(name: str, *arguments: str) -> bool:
        return form.ask(server, lambda client: getattr(client, name)(*arguments))

    assert yes("is_server_live")
    assert yes("is_server_ready")
    assert yes("is_model_ready", "embed")
    assert yes("is_model_ready", "embed", "1")
    assert not yes("is_model_ready", "embed", "2")
    assert not yes("is_model_ready", "nothing")
    form.infer(server, "classes", form.tensor("TEXT", TEXTS))  # there is something to count
    # Over HTTP without a detour the documents are known from elsewhere.
    told = FORMS["http"].tell
    for name, *arguments in (
        ("get_server_metadata",),
        ("get_model_metadata", "embed"),
        ("get_model_metadata", "embed-tensors", "1"),
        ("get_model_config", "classes"),
        ("get_model_repository_index",),
        ("get_inference_statistics", "classes", "1"),
        ("get_inference_statistics",),
    ):
        found, wanted = form.tell(server, name, *arguments), told(server, name, *arguments)
        if name == "get_model_config" and form.inputs is grpc:
            found = found["config"]
        if name == "get_model_repository_index" and form.inputs is grpc:
            found = found["models"]
        assert found == wanted, name
        assert len(json.dumps(wanted)) > 60


def test_texts_and_tensors(form, server, artifacts) -> None:
    loaded = tvm_sparse.load(artifacts["encoder"], threads=1)
    texts = form.tensor("TEXT", TEXTS)
    wanted = loaded.encode(TEXTS)
    for packing in (None, "gzip"):
        name = "request_compression_algorithm" if form.inputs is not grpc else None
        more = {name or "compression_algorithm": packing, "request_id": "seven"}
        answer = form.infer(server, "embed", texts, **more)
        np.testing.assert_allclose(answer.as_numpy("EMBEDDING"), wanted, rtol=1e-6, atol=1e-6)
        response = answer.get_response()
        response = response if isinstance(response, dict) else {"id": response.id}
        assert response["id"] == "seven"
    wanted = loaded.run(input_ids=IDS)["last_hidden_state"]
    for ids in (IDS, IDS.astype(np.int64)):
        outputs = [form.inputs.InferRequestedOutput("last_hidden_state")]
        answer = form.infer(server, "embed-tensors", form.tensor("input_ids", ids), outputs=outputs)
        np.testing.assert_array_equal(answer.as_numpy("last_hidden_state"), wanted)


def test_parameters(form, server, artifacts) -> None:
    pipeline = tvm_sparse.pipeline("text-classification", artifacts["classes"], threads=1)
    texts = form.tensor("TEXT", TEXTS)
    answer = form.infer(server, "classes", texts, parameters={"top_k": 2})
    wanted = pipeline(TEXTS, top_k=2)
    labels = [[label.decode() for label in row] for row in answer.as_numpy("LABEL")]
    assert labels == [[one["label"] for one in row] for row in wanted]
    answer = form.infer(server, "embed", texts, parameters={"prompt": "the red "})
    wanted = tvm_sparse.load(artifacts["encoder"], threads=1).encode(TEXTS, prompt="the red ")
    np.testing.assert_allclose(answer.as_numpy("EMBEDDING"), wanted, rtol=1e-6, atol=1e-6)


#: What Triton answers: its errors are HTTP's 400, 404, 503, and these words of gRPC.
WRONG, UNKNOWN, NOT_NOW = ("400", "INVALID_ARGUMENT"), ("404", "NOT_FOUND"), ("503", "UNAVAILABLE")
TEXT, FLOATS = ("TEXT", ["a bird"]), np.zeros((2, 24), np.float32)
REFUSED: tuple[tuple[tuple[str, str], str, str, Any], ...] = (
    (UNKNOWN, "get_model_metadata", "no", "Request for unknown model: 'no' is not found"),
    (UNKNOWN, "get_model_config", "no", "Request for unknown model: 'no' is not found"),
    (UNKNOWN, "get_inference_statistics", "no", "Request for unknown model: 'no' is not found"),
    (NOT_NOW, "load_model", "embed", "explicit model load / unload is not allowed"),
    (NOT_NOW, "unload_model", "embed", "explicit model load / unload is not allowed"),
)
INFERENCES: tuple[tuple[tuple[str, str], str, tuple[Any, ...], dict[str, Any], str], ...] = (
    (UNKNOWN, "no", TEXT, {}, "Request for unknown model: 'no' is not found"),
    (UNKNOWN, "embed", TEXT, {"model_version": "7"}, "'embed' version 7 is not found"),
    (WRONG, "embed", ("WORDS", ["a"]), {}, "unexpected inference input 'WORDS' for model"),
    (WRONG, "embed", ("TEXT", FLOATS), {}, "data-type is 'FP32', model 'embed' expects 'BYTES'"),
    (WRONG, "embed-tensors", ("input_ids", FLOATS), {}, "'FP32', model 'embed-tensors' expects"),
    (WRONG, "embed-tensors", ("input_ids", IDS.reshape(4, 12)), {}, "expected [2, 24], got [4, 12"),
    (WRONG, "embed-tensors", ("input_ids", IDS - 1), {}, "holds -1 at [0, 0]"),
    (WRONG, "embed-tensors", ("attention_mask", IDS), {}, "input_ids missing"),
    (WRONG, "embed", ("TEXT", []), {}, "no text given: the first extent of an input is 0"),
    (WRONG, "embed", TEXT, {"parameters": {"top_k": 3}}, "unknown parameter 'top_k': there are"),
    (WRONG, "embed", TEXT, {"outputs": ["LOGITS"]}, "unexpected inference output 'LOGITS' for"),
    (("413", "RESOURCE_EXHAUSTED"), "embed", ("TEXT", ["a" * (2 << 20)]), {}, "larger than"),
)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
def test_what_is_refused(form, server) -> None:
    place = 0 if form.inputs is not grpc else 1
    for codes, name, model, message in REFUSED:
        assert form.refusal(server, name, model) == (codes[place], message)
    for codes, model, (name, values), more, message in INFERENCES:
        more = dict(more)
        if "outputs" in more:
            more["outputs"] = [form.inputs.InferRequestedOutput(one) for one in more["outputs"]]
        given = [form.tensor(name, values)]
        code, found = form.refusal(server, "infer", model, given, **more)
        assert (code, message in found) == (codes[place], True), (model, name, found)


def test_a_model_that_is_full_late_or_loading(form) -> None:
    slow = Slow(max_size=1)
    repository = Repository(expected={"later"}, models={"slow": slow.served})
    place = 0 if form.inputs is not grpc else 1
    text = [form.tensor("TEXT", ["x"])]
    with running(repository) as server:
        assert not form.ask(server, lambda client: client.is_server_ready())
        assert not form.ask(server, lambda client: client.is_model_ready("later"))
        refusals = [form.refusal(server, "infer", "later", text)]
        slow.served.statistics.pending += 1
        refusals.append(form.refusal(server, "infer", "slow", text))
        slow.served.statistics.pending -= 1
        slow.streams._free = 0  # nobody runs
        refusals.append(form.refusal(server, "infer", "slow", text, timeout=20_000))
        messages = ("not ready yet", "exceeds maximum queue size 1", "timed out after 20 ms")
        for (code, found), message in zip(refusals, messages, strict=True):
            assert (code, message in found) == (NOT_NOW[place], True)


def test_a_stream_answers_in_order(server, artifacts) -> None:
    wanted = tvm_sparse.load(artifacts["encoder"], threads=1).encode(TEXTS)

    async def ask() -> list[tuple[Any, Any]]:
        async def requests():
            for number, text in enumerate(TEXTS * 30):
                given = [FORMS["grpc"].tensor("TEXT", [text] if number % 3 else [])]
                yield {"model_name": "embed", "inputs": given, "request_id": f"{number}"}

        async with grpc_aio.InferenceServerClient(server.grpc_address) as client:
            return [answer async for answer in client.stream_infer(requests())]

    answers = asyncio.run(ask())
    assert len(answers) == 90
    for number, (answer, error) in enumerate(answers):
        if number % 3 == 0:
            assert "no text given" in error.message()
            continue
        assert answer.get_response().id == str(number)
        found = answer.as_numpy("EMBEDDING")[0]
        np.testing.assert_allclose(found, wanted[number % 3], rtol=1e-6, atol=1e-6)
