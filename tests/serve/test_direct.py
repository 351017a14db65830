"""Requests that are answered where they are read get what all others get."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from running_server import running, until
from slow_model import Slow

from tvm_sparse.serve import questions
from tvm_sparse.serve import server as servers
from tvm_sparse.serve.access_log import AccessLog
from tvm_sparse.serve.config import LogConfig
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


def through_the_application(parts: tuple[bytes, ...]) -> list[bytes]:
    return [part.replace(b"slow/infer", b"slow/versions/1/infer") for part in parts]


def alone(slow: Slow, connection: Connection) -> None:
    """Ask until requests are answered where they are read."""
    slow.served._brief._work_s = 0.0
    for _ in range(6):
        connection.send(request(20))
        assert connection.read()[0] == 200


def test_all_ways_lead_to_the_same_answers(connect) -> None:
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
            other.send(*through_the_application(parts))
            assert other.read() == later[-1]
        assert {one.name[:15] for one in threads} == {"tvm_sparse-slow"}
        alone(slow, first)
        threads.clear()
        for parts, wanted in zip(asked, later, strict=True):
            first.send(*parts)
            assert first.read() == wanted
        assert not any(one.name.startswith("tvm_sparse") for one in threads)
        assert [status for status, *_ in later] == [200, 200, 200, 400, 400, 400]
        # Who asks by way of the application asks as well.
        other.send(*through_the_application((request(20),)))
        other.read()
        threads.clear()
        first.send(request(20))
        first.read()
        assert threads[0].name.startswith("tvm_sparse")
        # Several in one piece, the last of the connection among them: one is answered at once.
        alone(slow, first)
        threads.clear()
        first.send(request(21) + request(22) + request(23, "Connection: close"))
        answers = [first.read() for _ in range(3)]
        assert [one["id"] for *_, one in answers] == ["21", "22", "23"]
        assert [one.name.startswith("tvm_sparse") for one in threads] == [False, True, True]
        assert answers[-1][1]["connection"] == "close"
        assert first.is_closed()
    counts = slow.served.statistics
    assert (counts.pending, counts.running) == (0, 0)


def test_an_error_of_ours_is_told_and_logged(connect, monkeypatch, capsys) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of order")

    slow = Slow()
    slow.go.set()
    with running(Repository(models={"slow": slow.served})) as server:
        connection = connect(server.address)
        monkeypatch.setattr(questions, "write_response", broken)
        for _ in range(8):  # by a thread, and then where they are read
            connection.send(request(20))
            status, _, answer = connection.read()
            assert (status, answer) == (500, {"error": "RuntimeError: out of order"})
            slow.served._brief._work_s = 0.0
    logged = capsys.readouterr().err
    assert logged.count("RuntimeError: out of order") == logged.count("Traceback") == 8


def test_who_leaves_within_a_body_is_written_down(connect, tmp_path: Path) -> None:
    slow, path = Slow(), tmp_path / "access.log"
    log = AccessLog(LogConfig(access=True, file=str(path)))
    with running(Repository(models={"slow": slow.served}, access_log=log)) as server:
        connection = connect(server.address)
        connection.send(request(20)[:-5])
        connection.close()
        until(lambda: path.read_text().endswith("\n"))
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["status"] == 499


def test_a_connection_that_was_refused_is_closed_when_idle(connect, monkeypatch) -> None:
    monkeypatch.setattr(servers, "_KEEP_ALIVE_S", 1)
    slow = Slow()
    slow.served.ready = False
    with running(Repository(models={"slow": slow.served})) as server:
        connection = connect(server.address)
        head, body = request(20).split(b"\r\n\r\n")
        connection.send(head + b"\r\n\r\n")
        assert connection.read()[0] == 503
        connection.send(body)
        assert connection.is_closed()


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
