"""Clients for `soak_serve.py`: they compare every answer, and count what else happens.

Where all processes are stopped for a while, as when a machine sleeps, time-outs are over at once
afterwards, the server's for connections that nobody uses among them. That is told apart.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter

import numpy as np

#: Of numbers that are the same, computed on other threads.
TOLERANCE = 1e-4
#: Of the clients, and of what they wait for.
PATIENCE_S = 60.0
#: Seconds between looks at the clock, and how many tell of a stop.
_LOOK_S, _STOP_S = 0.2, 5.0


class Clients:
    """Threads that ask, and count what happened."""

    def __init__(self, address: str, wanted: dict[str, list[np.ndarray]], pause_s: float) -> None:
        self.address, self.wanted, self.pause_s = address, wanted, pause_s
        self.counts: Counter[str] = Counter()
        self.examples: list[str] = []
        self.ends = threading.Event()
        self._lock = threading.Lock()
        self.stopped_s, self._resumed = 0.0, -PATIENCE_S

    def watch(self) -> None:
        """Take note of how long this process was stopped, until told to end."""
        last = time.monotonic()
        while not self.ends.wait(_LOOK_S):
            now = time.monotonic()
            if now - last > _STOP_S:
                self.stopped_s += now - last
                self._resumed = now
                self.count("stops")
            last = now

    def _was_stopped(self) -> bool:
        time.sleep(2 * _LOOK_S)  # for `watch` to see it
        return time.monotonic() < self._resumed + _STOP_S

    def count(self, what: str, example: object = "") -> None:
        """Count something, and keep an example of it."""
        with self._lock:
            self.counts[what] += 1
            if example and len(self.examples) < 20:
                self.examples.append(f"{what}: {str(example)[:200]}")

    def run(self, seed: int, texts: list[str]) -> None:
        """Ask until told to end; connections are kept, and now and then closed in mid-air."""
        rng, connection = random.Random(seed), None
        while not self.ends.is_set():
            if connection is None:
                connection = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
            number = rng.randrange(len(texts))
            model = rng.choice(["steady", "swapped"])
            try:
                if rng.random() < 0.01:  # a client that leaves
                    self.ask(connection, model, texts[number])
                    connection.close()
                    connection = None
                    self.count("left")
                    continue
                self.ask(connection, model, texts[number])
                response = connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                refused = isinstance(error, ConnectionRefusedError)
                what = "refused connection" if refused else "closed connection"
                self.count("after a stop" if self._was_stopped() else what, error)
                connection.close()
                connection = None
                if refused and self.ends.wait(0.01):
                    return
                continue
            if response.status == 503 and self._was_stopped():
                self.count("after a stop", data)
                continue
            if response.status != 200:
                self.count(f"status {response.status}", data)
                continue
            found = np.array(json.loads(data)["embeddings"][0])
            right = any(
                found.shape == one[number].shape and np.abs(found - one[number]).max() < TOLERANCE
                for one in self.wanted[model]
            )
            self.count("answered" if right else "wrong", "" if right else (model, number))
            self.ends.wait(self.pause_s * rng.random() * 2)

    def ask(self, connection: http.client.HTTPConnection, model: str, text: str) -> None:
        """Send a request."""
        connection.request("POST", f"/predict/{model}", json.dumps({"inputs": text}))
