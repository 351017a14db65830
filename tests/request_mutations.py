"""Requests that lie: seeded mutants of bodies and of gRPC's messages, and how they are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from mutations import NASTY, mutate_bytes, mutate_json
from rpc_client import text_request

from tvm_sparse.errors import ConfigError
from tvm_sparse.serve.config_file import read_config
from tvm_sparse.serve.inference import parse_request, write_response
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.request import Request
from tvm_sparse.serve.rpc.inference import parse, read_request
from tvm_sparse.serve.rpc.inference import write_response as write_message
from tvm_sparse.serve.rpc.protocol import message
from tvm_sparse.serve.signature import Signature
from tvm_sparse.serve.tensors import TensorPlace

#: What to serve, in our words and in DeepSparse's.
OURS = """
http: {port: 0, max_body_mb: 8}
grpc: {}
cores: 1
streams: throughput
control: {load_unload: false, roots: []}
models:
  - name: embed
    model: DIR
    queue: {max_size: 7, timeout_ms: 100, max_delay_us: 50}
    options: {normalize_embeddings: true}
  - {name: tokens, model: DIR, task: feature-extraction, route: /predict/all}
"""
THEIRS = """
num_cores: 1
num_workers: 1
engine_thread_pinning: core
endpoints:
  - task: question_answering
    route: /unpruned/predict
    model: DIR
    batch_size: 1
    bucketing: {sequence_lengths: [64, 128]}
  - task: sentiment-analysis
    endpoint: /predict/feelings
    model_path: DIR
    kwargs: {top_k: 2, engine: x}
"""
_TEXT = {"name": "TEXT", "datatype": "BYTES", "shape": [1]}
_IDS = {"name": "input_ids", "datatype": "INT32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}
_PLACES = (
    TensorPlace("TEXT", "BYTES", (-1,), True),
    TensorPlace("input_ids", "INT32", (-1, 3), True),
)
_SIGNATURE = Signature("fuzzed", _PLACES, _PLACES)
_WORDS = ("TEXT", "BYTES", "INT32", "FP16", "shared_memory_region")
_FLOATS = (0.0, 1e308, float("nan"), float("-inf"))
#: What fits fields of the types of C++.
_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: (0, 1, -1, 2**31 - 1, -(2**31)),
    FieldDescriptor.CPPTYPE_INT64: (0, 1, 2, 3, -1, 2**31, 2**63 - 1, -(2**63)),
    FieldDescriptor.CPPTYPE_UINT32: (0, 1, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 1, 2**64 - 1),
    FieldDescriptor.CPPTYPE_FLOAT: _FLOATS,
    FieldDescriptor.CPPTYPE_DOUBLE: _FLOATS,
    FieldDescriptor.CPPTYPE_BOOL: (False, True),
}


def _body(*inputs: dict[str, Any]) -> bytes:
    return json.dumps(
        {"id": "7", "inputs": inputs, "outputs": [], "parameters": {"prompt": "x"}}
    ).encode()


def _binary() -> bytes:
    entry = {**_TEXT, "parameters": {"binary_data_size": 10}}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    return b"%d\n" % len(head) + head + b"\x06\0\0\0a bird"


JSON_BODIES = (
    _body({**_TEXT, "data": ["a bird"]}),
    _body(_IDS),
    _body(_IDS, {**_TEXT, "data": ["a"]}),
)
BINARY_BODIES = (_binary(),)


def sound_messages() -> tuple[bytes, ...]:
    """Return requests of gRPC: texts in typed contents, numbers in raw ones."""
    texts = text_request("embed", "a bird")
    texts.parameters["prompt"].string_param = "x"
    numbers = message("ModelInferRequest")(model_name="embed-tensors", id="7")
    numbers.inputs.add(name="input_ids", datatype="INT32", shape=[2, 3])
    numbers.outputs.add(name="input_ids")
    numbers.raw_input_contents.append(bytes(24))
    return texts.SerializeToString(), numbers.SerializeToString()


def mutate_binary(data: bytes, random: Random) -> bytes:
    """Return a body with binary data, with its length, its JSON or its bytes changed."""
    length, _, rest = data.partition(b"\n")
    size = int(length)
    head, values = rest[:size], rest[size:]
    deed = random.randrange(4)
    if deed == 0:
        return b"%d\n" % random.choice((0, size - 1, size + 1, len(rest), 10**30)) + rest
    if deed == 1:
        values = mutate_bytes(values, random)
    else:
        head = mutate_json(head, random)
    return b"%d\n" % len(head) + head + values


def mutate_message(data: bytes, random: Random) -> bytes:
    """Return a `ModelInferRequest` with its fields or its bytes changed."""
    if random.random() < 0.2:
        return mutate_bytes(data, random)
    changed = message("ModelInferRequest").FromString(data)
    for _ in range(random.randint(1, 3)):
        _change(changed, random)
    return bytes(changed.SerializeToString())


def _change(holder: Any, random: Random) -> None:
    """Change a field of a message, or of one that it holds."""
    field = random.choice(holder.DESCRIPTOR.fields)
    value = getattr(holder, field.name)
    if random.random() < 0.2:
        holder.ClearField(field.name)
    elif field.message_type and field.message_type.GetOptions().map_entry:
        _change(value[_text(random)[:300]], random)
    elif field.message_type and not field.is_repeated:
        _change(value, random)
    elif field.message_type:
        _change(random.choice(value) if value and random.random() < 0.8 else value.add(), random)
    elif field.is_repeated:
        for _ in range(random.choice((1, 1, 2, 40))):
            value.append(_scalar(field, random))
    else:
        setattr(holder, field.name, _scalar(field, random))


def _scalar(field: FieldDescriptor, random: Random) -> Any:
    """Return a value that fits a field."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return random.choice((*_WORDS, _text(random)[:3000]))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return random.choice((b"", b"\xff", bytes(24), b"\x02\0\0\0a", random.randbytes(9)))
    return random.choice(_NUMBERS[field.cpp_type])


def _text(random: Random) -> str:
    return str(random.choice(NASTY)).encode(errors="replace").decode()


def read_configuration(folder: Path) -> None:
    """Read what to serve."""
    config, _ = read_config(folder / "serve.yaml")
    config.threads()


def read_json_body(folder: Path) -> None:
    """Read a request in JSON, and answer with what it holds."""
    _answer(lambda: parse_request((folder / "body").read_bytes(), None))


def read_binary_body(folder: Path) -> None:
    """Read a request with binary data; the first line is the length of the JSON before it."""
    length, _, body = (folder / "body").read_bytes().partition(b"\n")
    _answer(lambda: parse_request(body, length))


def read_message(folder: Path) -> None:
    """Read a request of gRPC."""
    data = (folder / "body").read_bytes()
    _answer(lambda: read_request(parse(message("ModelInferRequest"), data), len(data)))


def _answer(read: Callable[[], Request]) -> None:
    try:
        request = read()
        _SIGNATURE.check_inputs("model", request.inputs)
        _SIGNATURE.check_outputs("model", request.outputs)
        if all(name in request.inputs for name in request.outputs):
            write_response("model", request, request.inputs)
            write_message("model", request, request.inputs).SerializeToString()
    except Refusal as error:
        if not error.message.isprintable():
            raise ValueError(f"a message that cannot be printed: {error.message!r}") from None
        raise ConfigError(error.message) from None
