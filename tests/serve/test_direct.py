"""Requests that are answered where they are read get what all others get."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from running_server import running
from slow_model import Slow

from tvm_sparse.serve.repository import Repository

pytestmark = pytest.mark.e2e


def request(length: int, *more: str, **fields: object) -> bytes:
    text = {"name": "TEXT", "datatype": "BYTES", "shape": [1], "data": ["x" * length]}
    body = json.dumps({"id": str(length), "inputs": [text], **fields})
    head = ["POST /v2/models/slow/infer HTTP/1.1", "host: here", f"content-length: {len(body)}"]
    return "\r\n".join([*head, *more, "", body]).encode()


class Connection:
    """Sends bytes, and reads responses."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._file = self._socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self._socket.sendall(part)

    def read(self) -> tuple[int, dict[str, str], dict[str, object]]:
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        return status, headers, json.loads(self._file.read(int(headers["content-length"])))

    def is_closed(self) -> bool:
        return self._file.read(1) == b""

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def connect() -> Iterator[Callable[[str], Connection]]:
    with ExitStack() as stack:
        yield lambda address: stack.enter_context(closing(Connection(address)))


def alone(slow: Slow, connection: Connection) -> None:
    """Ask until requests are answered where they are read."""
    slow.served._brief._work_s = 0.0
    for _ in range(6):
        connection.send(request(20))
        assert connection.read()[0] == 200


def test_both_ways_lead_to_the_same_answers(connect) -> None:
    slow = Slow()
    slow.go.set()
    answer, threads = slow.served._answer, []

    def answering(asked: object) -> object:
        threads.append(threading.current_thread())
        return answer(asked)

    slow.served._answer = answering
    asked = [
        (request(14),),
        (request(15, "Accept-Encoding: identity"),),
        (request(16)[:60], request(16)[60:150], request(16)[150:]),  # in pieces
        (request(13),),  # the model refuses it
        (request(17, outputs=[{"name": "NONE"}]),),
        (request(18, inputs=[]),),
    ]
    with running(Repository(models={"slow": slow.served})) as server:
        first, other = connect(server.address), connect(server.address)
        later = []
        for parts in asked:  # in turns: nobody asks alone
            first.send(*parts)
            later.append(first.read())
            other.send(request(20))
            other.read()
        assert {one.name[:15] for one in threads} == {"tvm_sparse-slow"}
        alone(slow, first)
        threads.clear()
        for parts, wanted in zip(asked, later, strict=True):
            first.send(*parts)
            assert first.read() == wanted
        assert not any(one.name.startswith("tvm_sparse") for one in threads)
        assert [status for status, *_ in later] == [200, 200, 200, 400, 400, 400]
        # Several in one piece, the last of the connection among them.
        first.send(request(21) + request(22) + request(23, "Connection: close"))
        answers = [first.read() for _ in range(3)]
        assert [one["id"] for *_, one in answers] == ["21", "22", "23"]
        assert answers[-1][1]["connection"] == "close"
        assert first.is_closed()
    counts = slow.served.statistics
    assert (counts.pending, counts.running) == (0, 0)


def test_a_body_that_is_on_its_way_at_the_end_is_answered(connect) -> None:
    slow = Slow()
    slow.go.set()
    with ExitStack() as stack:
        server = stack.enter_context(running(Repository(models={"slow": slow.served})))
        connection = connect(server.address)
        alone(slow, connection)
        whole = request(24)
        connection.send(whole[:-5])
        ending = threading.Thread(target=stack.close)
        ending.start()
        ending.join(0.5)
        assert ending.is_alive()
        connection.send(whole[-5:])
        status, headers, answer = connection.read()
        assert (status, headers["connection"], answer["id"]) == (200, "close", "24")
        ending.join(20)
