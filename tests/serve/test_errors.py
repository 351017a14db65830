"""What is refused, with which code and in which words."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import struct
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

TEXT = {"name": "TEXT", "datatype": "BYTES", "shape": [1], "data": ["a bird"]}
IDS = {"name": "input_ids", "datatype": "INT32", "shape": [2, 24], "data": [0] * 48}
EMBED, TENSORS = "/v2/models/embed/infer", "/v2/models/embed-tensors/infer"


@pytest.fixture(scope="module")
def ask(server):
    connection = http.client.HTTPConnection(server.address, timeout=30)

    def ask(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, raw, named)
        response = connection.getresponse()
        data = response.read()
        assert b"Traceback" not in data
        try:
            return response.status, json.loads(data)
        except ValueError:
            return response.status, data

    yield ask
    connection.close()


def inputs(*given: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"inputs": list(given), **more}


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v2/models/no/infer", inputs(TEXT), 404, "unknown model: 'no' is not found"),
        ("/v2/models/embed/versions/2/infer", inputs(TEXT), 404, "'embed' version 2 is not found"),
        ("/v2/models/a/b/infer", inputs(TEXT), 404, "Not Found"),
        (EMBED, b"{", 400, "failed to parse the request JSON buffer"),
        (EMBED, b"[]", 400, "the request must be a JSON object"),
        (EMBED, b"[" * 100_000, 400, "failed to parse the request JSON buffer"),
        (EMBED, {}, 400, "failed to find an array 'inputs'"),
        (EMBED, inputs(), 400, "expected 1 inputs but got 0 inputs for model 'embed': TEXT miss"),
        (EMBED, inputs(TEXT, TEXT), 400, "input 'TEXT' is given twice"),
        (EMBED, inputs({**TEXT, "name": "WORDS"}), 400, "unexpected inference input 'WORDS' for"),
        (EMBED, inputs({**TEXT, "datatype": "FP8"}), 400, "unknown datatype 'FP8'"),
        (
            EMBED,
            inputs({"name": "TEXT", "datatype": "FP32", "shape": [1], "data": [1.5]}),
            400,
            "input 'TEXT' data-type is 'FP32', model 'embed' expects 'BYTES'",
        ),
        (
            EMBED,
            inputs({**TEXT, "shape": [1, 1]}),
            400,
            "unexpected shape for input 'TEXT' for model 'embed': expected [-1], got [1, 1]",
        ),
        (EMBED, inputs({**TEXT, "shape": [2]}), 400, "has 1 elements, its shape [2] has 2"),
        (EMBED, inputs({**TEXT, "shape": [-1]}), 400, "must be an array of whole numbers"),
        (EMBED, inputs({**TEXT, "shape": [1 << 40]}), 400, "elements, at most"),
        (EMBED, inputs({**TEXT, "data": [7]}), 400, "'data' must be an array of strings"),
        (EMBED, inputs({**TEXT, "shape": [0], "data": []}), 400, "no text given"),
        (EMBED, inputs({**TEXT, "data": "a"}), 400, "'data' must be an array of BYTES"),
        (
            EMBED,
            inputs(TEXT, outputs=[{"name": "LOGITS"}]),
            400,
            "unexpected inference output 'LOGITS' for model 'embed': it has EMBEDDING",
        ),
        (
            EMBED,
            inputs(TEXT, parameters={"top_k": 3}),
            400,
            "unknown parameter 'top_k': there are batch_size, show_progress_bar, normalize_",
        ),
        (EMBED, inputs(TEXT, parameters={"prompt": 3}), 400, "parameter 'prompt': Expected str"),
        (EMBED, inputs(TEXT, parameters=3), 400, "'parameters' must be an object"),
        (TENSORS, inputs({**IDS, "data": [0] * 47}), 400, "has 47 elements, its shape [2, 24]"),
        (TENSORS, inputs({**IDS, "data": [1.5] * 48}), 400, "must hold numbers of type INT32"),
        (TENSORS, inputs({**IDS, "data": [1 << 40] * 48}), 400, "holds a number that is no INT32"),
        (TENSORS, inputs({**IDS, "data": [[0], [0, 1]]}), 400, "is no rectangle of numbers"),
        (TENSORS, inputs({**IDS, "datatype": "FP32"}), 400, "expects 'INT32'"),
        (TENSORS, inputs({**IDS, "shape": [4, 12]}), 400, "expected [2, 24], got [4, 12]"),
        ("/predict/embed", {"sequences": ["a"]}, 400, "missing field inputs: sentence-embedding"),
        ("/predict/embed", {"inputs": [3]}, 400, "field inputs: a text or a list of texts"),
        ("/predict/sentiment", {"sequences": [["a", "b", "c"]]}, 400, "a list of one or two"),
        ("/predict/nothing", {}, 404, "Not Found"),
        ("/v2/repository/models/embed/unload", {}, 503, "load / unload is not allowed"),
    ],
)
def test_what_is_posted(ask, path, body, status, message) -> None:
    found, answer = ask("POST", path, body)
    assert (found, message in answer["error"]) == (status, True), answer
    assert "\n" not in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", EMBED, 405),
        ("GET", "/predict/embed", 405),
        ("GET", "/v2/repository/index", 405),
        ("POST", "/v2/health/live", 405),
        ("POST", "/metrics", 405),
        ("DELETE", "/v2/models/embed", 405),
        ("GET", "/predict", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/ready", 404),
        ("GET", "/v2/models/no/config", 404),
        ("GET", "/v2/models/embed/versions/1/stats", 200),
    ],
)
def test_methods_and_addresses(ask, method, path, status) -> None:
    assert ask(method, path)[0] == status


def test_bodies_that_are_too_large_or_badly_packed(ask) -> None:
    large = json.dumps(inputs({**TEXT, "data": ["a" * (1 << 20)]})).encode()
    assert ask("POST", EMBED, large)[0] == 413
    packed = gzip.compress(large)
    assert len(packed) < 1 << 16
    assert ask("POST", EMBED, packed, content_encoding="gzip")[0] == 413
    assert ask("POST", EMBED, packed[:-9], content_encoding="gzip")[0] in (400, 413)
    for packing in ("gzip", "deflate", "br"):
        assert ask("POST", EMBED, b"{}", content_encoding=packing)[0] == 400


def binary(data: bytes, shape: list[int], size: int | None = None, **more: Any) -> Any:
    entry = {"name": "TEXT", "datatype": "BYTES", "shape": shape, **more}
    entry["parameters"] = {"binary_data_size": len(data) if size is None else size}
    head = json.dumps(inputs(entry)).encode()
    return head + data, len(head)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (binary(b"\x05\0\0\0abc", [1]), "ends within an element of 5 bytes"),
        (binary(b"\x05\0", [1]), "ends within the length of an element"),
        (binary(b"\x01\0\0\0a", [2]), "has 1 elements, its shape [2] has 2"),
        (binary(b"\x01\0\0\0\xff", [1]), "that is not in UTF-8"),
        (binary(b"\x01\0\0\0a", [1], 3), "ends within the length"),
        (binary(b"\x01\0\0\0a", [1], 0), "has 0 elements"),
        (binary(b"\x01\0\0\0a", [1], 6), "binary_data_size 6 given, 5 bytes are left"),
        (binary(b"\x01\0\0\0a", [1], 5.0), "binary_data_size 5.0 given"),
        (binary(b"\x01\0\0\0abcd", [1, 1], datatype="FP32"), "has 8 bytes of binary data, 4 are"),
    ],
)
def test_binary_data(ask, body, message) -> None:
    status, answer = ask("POST", EMBED, body[0], inference_header_content_length=str(body[1]))
    assert (status, message in answer["error"]) == (400, True), answer


def test_ids_beyond_the_vocabulary(ask) -> None:
    for number in (-1, 600, 1 << 30):
        status, answer = ask("POST", TENSORS, inputs({**IDS, "data": [number] + [0] * 47}))
        assert (status, f"holds {number} at [0, 0]" in answer["error"]) == (400, True), answer


def test_fuzzed_requests(ask) -> None:
    """Whatever is sent, the answer is JSON with a code of ours, and the server goes on."""
    rng = random.Random(0)
    body, length = binary(b"\x06\0\0\0a bird", [1])
    plain = json.dumps(inputs(TEXT, parameters={"prompt": "a"}, id="3")).encode()
    seen = set()
    for _ in range(1500):
        raw, headers = bytearray(rng.choice([body, plain])), {}
        if rng.random() < 0.5:
            near = rng.choice([length, length + 1, len(raw), len(raw) + 1, 0, -1])
            headers["inference_header_content_length"] = str(near)
        for _ in range(rng.choice([0, 1, 1, 2, 5])):
            place = rng.randrange(len(raw))
            part = rng.choice([b"", bytes([rng.randrange(256)]), b"[{", b"null", b"1e999", b"-1"])
            raw[place : place + rng.choice([0, 1, 8])] = part
        if rng.random() < 0.1:
            headers["content_encoding"] = rng.choice(["gzip", "deflate", "identity"])
        path = rng.choice([EMBED, TENSORS, "/predict/embed", "/v2/repository/index"])
        status, answer = ask("POST", path, bytes(raw), **headers)
        assert status in (200, 400, 413), (status, answer, raw)
        assert status == 200 or list(answer) == ["error"]
        seen.add(status)
    assert seen >= {200, 400}
    assert ask("POST", EMBED, inputs(TEXT))[0] == 200


def test_fuzzed_tensors() -> None:
    """Numbers that are no lengths never lead beyond the data."""
    from tvm_sparse.serve.inference import parse_request
    from tvm_sparse.serve.refusal import Refusal

    rng = random.Random(1)
    for _ in range(2000):
        data = b"".join(
            struct.pack("<I", rng.choice([0, 1, 3, 1 << 31, (1 << 32) - 1])) + rng.randbytes(n)
            for n in [rng.randrange(4) for _ in range(rng.randrange(5))]
        )
        made, length = binary(data, [rng.randrange(4)], rng.choice([None, 0, 4, 1 << 62]))
        try:
            tensor = parse_request(made, b"%d" % length).inputs["TEXT"]
        except Refusal:
            continue
        assert sum(len(one) + 4 for one in tensor.values) == len(data)
