"""gRPC by hand: typed contents, what is refused, who leaves, who is late, who is answered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import grpc
import numpy as np
import pytest
from rpc_client import calling, text_request
from running_server import running, until
from slow_model import Slow

import tvm_sparse
from tvm_sparse.errors import ConfigError
from tvm_sparse.serve.address_config import GrpcConfig
from tvm_sparse.serve.listening import reserve
from tvm_sparse.serve.pace import Pace
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.rpc.protocol import message
from tvm_sparse.serve.ticket import Ticket

pytestmark = pytest.mark.e2e

Code = grpc.StatusCode


def ids_request(datatype: str = "INT32", field: str = "int_contents", ids: Any = range(48)) -> Any:
    request = message("ModelInferRequest")(model_name="embed-tensors", id="7")
    given = request.inputs.add(name="input_ids", datatype=datatype, shape=[2, 24])
    getattr(given.contents, field).extend(ids)
    return request


def test_typed_contents(server, artifacts) -> None:
    loaded = tvm_sparse.load(artifacts["encoder"], threads=1)
    wanted = loaded.run(input_ids=np.arange(48).reshape(2, 24))["last_hidden_state"]
    with calling(server.grpc_address) as caller:
        for request in (ids_request(), ids_request("INT64", "int64_contents")):
            code, _, data = caller.ask("ModelInfer", request.SerializeToString())
            assert code is Code.OK
            answer = message("ModelInferResponse").FromString(data)
            assert (answer.id, answer.model_version) == ("7", "1")
            found = np.frombuffer(answer.raw_output_contents[0], np.float32)
            np.testing.assert_array_equal(found.reshape(answer.outputs[0].shape), wanted)


def both() -> Any:
    request = ids_request()
    request.raw_input_contents.append(b"")
    return request


def named(**parameters: Any) -> Any:
    request = text_request("embed", "a bird")
    for name, (field, value) in parameters.items():
        setattr(request.parameters[name], field, value)
    return request


def valueless() -> Any:
    request = text_request("embed", "a bird")
    request.parameters["prompt"].SetInParent()
    return request


def shared() -> Any:
    request = ids_request()
    request.inputs[0].parameters["shared_memory_region"].string_param = "x"
    return request


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ids_request(ids=range(47)), "has 47 elements, its shape [2, 24] has 48"),
        (ids_request("INT8", ids=[300] * 48), "holds a number that is no INT8"),
        (ids_request("INT32", "int64_contents"), "has int64_contents, INT32 is read from int_con"),
        (ids_request("FP16", "fp32_contents"), "FP16 is read from raw_input_contents"),
        (ids_request("FP8"), "unknown datatype 'FP8'"),
        (both(), "has contents, and raw_input_contents are given: give one"),
        (shared(), "is in shared memory, which is not read: send it"),
        (valueless(), "parameter 'prompt' has no value of a known type"),
        (named(prompt=("int64_param", 3)), "parameter 'prompt': Expected str"),
        (named(prompt=("string_param", "a" * 9000)), None),
        (named(**{"x" * 9000: ("int64_param", 3)}), "unknown parameter 'xxx"),
        (b"\xff\xff", "failed to parse the request"),
        (b"\x0a\x01\xff", "failed to parse the request"),
    ],
)
def test_requests_that_are_wrong(server, request_, words) -> None:
    data = request_ if isinstance(request_, bytes) else request_.SerializeToString()
    with calling(server.grpc_address) as caller:
        code, details, _ = caller.ask("ModelInfer", data)
    assert code is (Code.INVALID_ARGUMENT if words else Code.OK)
    assert (words or "") in details
    assert "\n" not in details


def test_messages_too_large_or_packed_and_calls_that_are_not_there(server) -> None:
    large = text_request("embed", "a " * (5 << 20)).SerializeToString()
    with calling(server.grpc_address) as caller:
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            code, *_ = caller.ask("ModelInfer", large, compression=compression)
            assert code is Code.RESOURCE_EXHAUSTED
        small = text_request("embed", "a bird").SerializeToString()
        code, *_ = caller.ask("ModelInfer", small, compression=grpc.Compression.Deflate)
        assert code is Code.OK
        assert caller.ask("TraceSetting", b"")[0] is Code.UNIMPLEMENTED
        assert caller.ask("ModelInfer", b"")[0] is Code.NOT_FOUND


@contextmanager
def counting(address: str) -> Iterator[tuple[str, list[int]]]:
    """An address that leads to another one, and how many bytes came back from there."""
    host, port = address.split(":")
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:
        found: list[int] = []

        def copy(source: socket.socket, target: socket.socket, count: bool) -> None:
            with suppress(OSError):  # the other direction has ended
                while data := source.recv(1 << 16):
                    found.extend([len(data)] * count)
                    target.sendall(data)

        def forward() -> None:
            near = stack.enter_context(listening.accept()[0])
            far = stack.enter_context(socket.create_connection((host, int(port))))
            for one in ((near, far, False), (far, near, True)):
                threading.Thread(target=copy, args=one, daemon=True).start()

        threading.Thread(target=forward, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", found


def test_answers_are_packed_where_a_call_asks_for_it(server) -> None:
    request = text_request("embed", *["a bird"] * 300).SerializeToString()
    answers, sizes = [], {}
    for accepted in ("", "identity", "deflate, br", "gzip;q=1, deflate"):
        with counting(server.grpc_address) as (address, found), calling(address) as caller:
            more = {"metadata": (("accept-encoding", accepted),)} if accepted else {}
            code, _, data = caller.ask("ModelInfer", request, **more)
            assert code is Code.OK
            answers.append(data)
            sizes[accepted] = sum(found)
    assert answers == answers[:1] * 4
    plain = min(sizes[""], sizes["identity"])
    assert plain > len(answers[0])
    assert max(sizes["deflate, br"], sizes["gzip;q=1, deflate"]) < plain / 4


def test_who_cancels_or_is_late_is_not_run() -> None:
    slow, length = Slow(), text_request("slow", "x").SerializeToString()
    counts = slow.served.statistics
    with (
        running(Repository(models={"slow": slow.served})) as server,
        calling(server.grpc_address) as caller,
    ):
        first = caller.begin("ModelInfer", length)
        until(slow.begun.is_set)
        canceled = caller.begin("ModelInfer", length)
        until(lambda: len(slow.streams) == 1)
        canceled.cancel()
        until(lambda: len(slow.streams) == 0)
        code, *_ = caller.ask("ModelInfer", length, timeout=1.0)
        assert code is Code.DEADLINE_EXCEEDED
        until(lambda: counts.pending == 1)
        assert len(slow.streams) == 0
        slow.go.set()
        assert b"-1" in first.result()
    assert slow.batches == [[1]]
    assert (counts.success.count, counts.fail.count) == (1, 2)


def test_what_cannot_come_in_time_is_refused_at_once() -> None:
    slow, length = Slow(), text_request("slow", "x").SerializeToString()
    slow.go.set()
    now = Ticket()
    now.arrived_ns -= 50 * 10**9
    slow.served._pace.answered(now, 0)  # 50 seconds: 5 are learnt
    with (
        running(Repository(models={"slow": slow.served})) as server,
        calling(server.grpc_address) as caller,
    ):
        code, details, _ = caller.ask("ModelInfer", length, timeout=2.0)
        assert code is Code.DEADLINE_EXCEEDED
        assert "model 'slow': no answer is likely within" in details
        assert caller.ask("ModelInfer", length)[0] is Code.OK
    assert slow.batches == [[1]]


def test_doubts_let_requests_in_again() -> None:
    pace, ticket = Pace(), Ticket()
    assert pace.suffices(1e-6, 100)
    assert not pace.suffices(0.0, 0)
    ticket.arrived_ns -= 100 * 10**9
    pace.answered(ticket, 9)  # ten seconds each, of which one is believed
    assert pace.suffices(0.6, 0)
    assert not pace.suffices(0.4, 0)
    assert not pace.suffices(1.2, 2)
    while not pace.suffices(0.1, 0):
        pass


def test_what_is_under_way_is_answered_at_the_end() -> None:
    slow = Slow()
    with running(Repository(models={"slow": slow.served})) as server:
        channel = grpc.insecure_channel(server.grpc_address)
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        data = text_request("slow", "xx").SerializeToString()
        asked = [call.future(data, timeout=30) for _ in range(8)]
        until(lambda: slow.served.statistics.pending == 8)
        threading.Timer(0.5, slow.go.set).start()
    with channel:
        assert [b"-2" in one.result() for one in asked] == [True] * 8


def test_a_port_that_is_taken(server) -> None:
    port = int(server.grpc_address.rpartition(":")[2])
    with pytest.raises(ConfigError, match=r"cannot be listened at .*: give another grpc.host or"):
        reserve(GrpcConfig(port=port))
