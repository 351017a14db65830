"""The server around a slow model: who is not ready, who leaves, who is answered at the end."""

from __future__ import annotations

import gc
import http.client
import json
import re
import socket
import threading
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families
from running_server import running, until
from slow_model import Slow

from tvm_sparse.errors import ConfigError
from tvm_sparse.serve import one_process
from tvm_sparse.serve.address_config import GrpcConfig, HttpConfig
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.model_config import ModelConfig
from tvm_sparse.serve.repository import Repository

pytestmark = pytest.mark.e2e


def send(address: str, length: int) -> socket.socket:
    """Ask for one text of so many characters; the answer is to be read."""
    text = {"name": "TEXT", "datatype": "BYTES", "shape": [1], "data": ["x" * length]}
    body = json.dumps({"inputs": [text]})
    host, port = address.split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    head = f"POST /v2/models/slow/infer HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}"
    connection.sendall(f"{head}\r\n\r\n{body}".encode())
    return connection


def read(connection: socket.socket) -> tuple[int, str]:
    with connection, connection.makefile("rb") as file:
        status = int(file.readline().split()[1])
        length = 0
        while (line := file.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return status, file.read(length).decode()


def metrics(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as response:
        families = text_string_to_metric_families(response.read().decode())
        return {one.name: one.value for family in families for one in family.samples}


def serving(slow: Slow):
    return running(Repository(models={"slow": slow.served}))


def test_a_model_that_is_still_loading() -> None:
    with running(Repository(expected={"slow"})) as server:
        for path, status in (
            ("/v2/health/live", 200),
            ("/v2/health/ready", 400),
            ("/v2/models/slow/ready", 400),
            ("/v2/models/slow", 503),
            ("/v2/models/slow-tensors", 503),
        ):
            host, port = server.address.split(":")
            connection = socket.create_connection((host, int(port)), timeout=30)
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            assert read(connection)[0] == status
        status, body = read(send(server.address, 1))
        assert (status, json.loads(body)["error"]) == (503, "model 'slow' is not ready yet")


def test_a_client_that_leaves_is_not_run() -> None:
    slow = Slow()
    with serving(slow) as server:
        first = send(server.address, 1)
        until(slow.begun.is_set)
        gone = send(server.address, 2)
        until(lambda: len(slow.streams) == 1)
        gone.close()
        until(lambda: len(slow.streams) == 0)
        slow.go.set()
        assert read(first)[0] == 200
    assert slow.batches == [[1]]
    assert slow.served.statistics.failures == {"CANCELED": 1}


def test_overload_is_refused_at_once_and_every_request_is_answered_once() -> None:
    slow = Slow(max_size=5)
    with serving(slow) as server:
        asked = [send(server.address, 1 + n) for n in range(40)]
        until(lambda: sum(slow.served.statistics.failures.values()) == 35)
        until(slow.begun.is_set)
        waiting = metrics(server.address)
        assert waiting["tvm_sparse_in_flight_requests"] == 1
        assert waiting["tvm_sparse_queue_length"] == 4
        slow.go.set()
        answers = [read(one) for one in asked]
    assert sorted(status for status, _ in answers) == [200] * 5 + [503] * 35
    for length, (status, body) in enumerate(answers, 1):
        if status == 200:
            assert json.loads(body)["outputs"][0]["data"] == [str(-length)]
        else:
            assert "exceeds maximum queue size 5" in body
    assert slow.served.statistics.running == slow.served.statistics.pending == 0


def test_who_finds_no_place_is_refused_before_its_body_has_come() -> None:
    slow = Slow(max_size=1)
    with serving(slow) as server:
        asked = send(server.address, 1)
        until(slow.begun.is_set)
        host, port = server.address.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.putrequest("POST", "/v2/models/slow/infer")
        connection.putheader("content-length", "5")
        connection.endheaders(b"12")
        reply = connection.getresponse()
        assert (reply.status, b"exceeds maximum queue size 1" in reply.read()) == (503, True)
        # What is left of the body is no request of its own.
        connection.send(b"345")
        connection.request("GET", "/v2/health/live")
        assert connection.getresponse().status == 200
        connection.close()
        slow.go.set()
        assert read(asked)[0] == 200
        assert slow.served.statistics.failures == {"REJECTED": 1}


def test_answers_keep_the_order_of_requests_on_a_connection_when_there_is_no_place() -> None:
    slow = Slow(max_size=1)
    with serving(slow) as server:
        asked = send(server.address, 3)
        until(slow.begun.is_set)
        head = b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\n\r\n"
        infer = b"POST /v2/models/slow/infer HTTP/1.%d\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}"
        with socket.create_connection(asked.getpeername(), timeout=30) as other:
            other.sendall(head + infer % 1 + infer % 1 + head + infer % 0)
            found = b"".join(iter(lambda: other.recv(1 << 16), b""))  # the last one closes it
        assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"200", b"503", b"503", b"200", b"503"]
        assert found.count(b"connection: close") == 1
        slow.go.set()
        assert read(asked)[0] == 200
        assert slow.served.statistics.failures == {"REJECTED": 3}


def test_what_is_under_way_is_answered_at_the_end() -> None:
    slow = Slow()
    with serving(slow) as server:
        asked = [send(server.address, 1 + n) for n in range(8)]
        until(lambda: slow.served.statistics.pending == 8)
        threading.Timer(0.5, slow.go.set).start()
    assert [read(one)[0] for one in asked] == [200] * 8


def test_a_server_that_cannot_listen_leaves_nothing_behind(artifacts, monkeypatch, caplog) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        grpc = GrpcConfig(port=taken.getsockname()[1])
        # As if it had been taken meanwhile.
        monkeypatch.setattr(one_process, "reserve", lambda address: address)
        models = (ModelConfig("embed", str(artifacts["encoder"])),)
        config = ServeConfig(models, HttpConfig(port=0), grpc, cores=1)
        with pytest.raises(ConfigError, match=r"^grpc: "):
            one_process.run(config, lambda _: None)
    gc.collect()
    assert caplog.messages == []  # no task was destroyed before its end
