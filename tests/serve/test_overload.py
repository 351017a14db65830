"""Far more requests than the server can answer: each has one answer, and it is its own."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from running_server import running
from slow_model import Slow

from tvm_sparse.serve.repository import Repository

pytestmark = pytest.mark.e2e

CLIENTS, EACH, MOST = 40, 25, 4


class Busy(Slow):
    """Takes its time."""

    def _run(self, lengths: list[int], threads: int) -> list[int]:
        time.sleep(0.004)
        return super()._run(lengths, threads)


def client(address: str, number: int) -> list[tuple[int, str, int]]:
    """Ask again as soon as there is an answer; return statuses, answers and what was asked."""
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    found = []
    for place in range(EACH):
        length = 14 + (number * EACH + place) % 50
        text = {"name": "TEXT", "datatype": "BYTES", "shape": [1], "data": ["x" * length]}
        body = json.dumps({"id": f"{number}-{place}", "inputs": [text]})
        connection.request("POST", "/v2/models/slow/infer", body)
        reply = connection.getresponse()
        answer = json.loads(reply.read())
        if reply.status == 200:
            assert answer["id"] == f"{number}-{place}"
            assert answer["outputs"][0]["data"] == [str(-length)]
        found.append((reply.status, answer.get("error", ""), length))
    connection.close()
    return found


def test_every_request_is_answered_once() -> None:
    slow = Busy(max_size=MOST)
    slow.go.set()
    with running(Repository(models={"slow": slow.served})) as server:
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = list(clients.map(lambda n: client(server.address, n), range(CLIENTS)))
        counts = slow.served.statistics
        assert (counts.pending, len(slow.streams)) == (0, 0)
    statuses = Counter(status for each in answers for status, *_ in each)
    assert set(statuses) == {200, 503}
    assert statuses.total() == CLIENTS * EACH
    assert (counts.success.count, counts.failures) == (statuses[200], {"REJECTED": statuses[503]})
    refusals = {error for each in answers for status, error, _ in each if status == 503}
    assert refusals == {f"model 'slow': exceeds maximum queue size {MOST}"}
    answered = sorted(length for each in answers for status, _, length in each if status == 200)
    assert answered == sorted(length for batch in slow.batches for length in batch)
