"""Whatever is sent to a server, it answers in its words or closes the connection, and goes on."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import grpc
import pytest
from mutations import mutate_bytes
from request_mutations import JSON_BODIES, mutate_message, sound_messages
from rpc_client import Caller, calling, text_request
from running_server import Running, until

from tvm_sparse.serve.rpc.protocol import message

pytestmark = pytest.mark.e2e

CALLS = (
    *("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig"),
    *("ModelStatistics", "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"),
)
#: Never UNKNOWN or INTERNAL.
FORESEEN = {
    *(grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND),
    *(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED),
}
AT_A_TIME = 12  # the queues have room for 16


@pytest.fixture
def nothing_raised(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where somebody logs an exception."""
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)
    assert [one.getMessage() for one in caplog.records if one.exc_info] == []


def sound_requests() -> list[bytes]:
    made = []
    for line in (
        *("GET /v2", "GET /v2/models/embed/stats", "GET /metrics", "POST /v2/repository/index"),
        *("POST /v2/models/embed/infer", "POST /predict/embed", "GET /", "DELETE /v2/health/live"),
    ):
        body = JSON_BODIES[0] if line.endswith("infer") else b'{"inputs": ["a bird"]}'
        body = body if line.startswith("POST") else b""
        head = f"{line} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\naccept-encoding: gzip"
        made.append(f"{head}\r\nconnection: close\r\n\r\n".encode() + body)
        made.append(
            f"{line} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"
            f"inference-header-content-length: {len(body)}\r\n\r\n{len(body):x}\r\n".encode()
            + body
            + b"\r\n0\r\n\r\n"
        )
    return made


def exchange(address: str, data: bytes) -> bytes:
    """Return what is answered before the connection is closed; raises where it is not."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        answer = b""
        try:
            connection.sendall(data)
            connection.settimeout(0.05)
            try:
                while part := connection.recv(1 << 16):
                    answer += part
            except TimeoutError:  # it waits for the rest, which there is none of
                connection.settimeout(10)
                connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(1 << 16):
                    answer += part
        except (ConnectionError, BrokenPipeError):
            pass
        return answer


def test_bytes_over_http(server: Running, nothing_raised) -> None:
    random, sound = Random(0), sound_requests()
    mutants = [mutate_bytes(random.choice(sound), random) for _ in range(800)]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        answers = list(pool.map(lambda data: exchange(server.address, data), [*sound, *mutants]))
    statuses = Counter(answer[9:12].decode() for answer in answers if answer)
    assert not any(b"Traceback" in answer for answer in answers)
    assert set(statuses) <= {"200", "400", "404", "405", "413"}, statuses
    assert statuses["200"] > 50
    assert statuses["400"] > 50
    assert {answer[9:12] for answer in answers[: len(sound)]} >= {b"200", b"405"}


def ask_all(caller: Caller, asked: list[tuple[str, bytes]]) -> Counter[grpc.StatusCode]:
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        answers = list(pool.map(lambda one: caller.ask(*one), asked))
    for _, details, _ in answers:
        assert "Traceback" not in details
        assert "\n" not in details
    return Counter(code for code, *_ in answers)


def test_messages_over_grpc(server: Running, nothing_raised) -> None:
    random, sound = Random(0), sound_messages()
    mutants = [mutate_message(random.choice(sound), random) for _ in range(1500)]
    named = message("ModelReadyRequest")(name="embed", version="1").SerializeToString()
    asked = [(name, mutate_bytes(named, random)) for name in CALLS for _ in range(60)]
    with calling(server.grpc_address) as caller:
        codes = ask_all(caller, [*(("ModelInfer", one) for one in (*sound, *mutants)), *asked])
        assert set(codes) <= FORESEEN, codes
        assert codes[grpc.StatusCode.OK] > 100
        assert codes[grpc.StatusCode.INVALID_ARGUMENT] > 100
        small = [one for one in mutants if len(one) < 1 << 20][:400]
        assert len(caller.stream(small)) == len(small)
        data = text_request("embed", "a bird").SerializeToString()
        assert caller.ask("ModelInfer", data)[0] is grpc.StatusCode.OK


def test_calls_that_are_cancelled_at_any_time(server: Running, nothing_raised) -> None:
    random = Random(0)
    counts = server.repository.models["embed"].statistics
    with calling(server.grpc_address) as caller:

        def ask(number: int) -> None:
            texts = ["a bird"] * (1 + number % 3)
            call = caller.begin("ModelInfer", text_request("embed", *texts).SerializeToString())
            if number % 3 == 0:
                try:
                    call.result(timeout=random.choice((0.0, 0.0003, 0.001)))
                except grpc.FutureTimeoutError:
                    call.cancel()
                return
            answer = message("ModelInferResponse").FromString(call.result())
            assert list(answer.outputs[0].shape) == [len(texts), 8]

        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(ask, range(300)))
    until(lambda: counts.pending == 0)
    assert len(server.repository.streams) == 0
