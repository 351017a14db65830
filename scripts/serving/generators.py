"""Load on a server from programs that others wrote for it: wrk, h2load and tritonclient."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np

_ASK = Path(__file__).with_name("ask.lua")
#: Between connections that h2load opens.
_STEP_MS = 5


@dataclass(frozen=True)
class Load:
    """What became of the requests of wrk.

    Attributes
    ----------
    requests, refused, broken : int
        Answered ones; those of them with another status than 200; connections that broke.
    seconds : float
        For how long.
    p50_ms, p90_ms, p99_ms : float
        Percentiles of the time to an answer.
    """

    requests: int
    seconds: float
    refused: int
    broken: int
    p50_ms: float
    p90_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def versions() -> dict[str, str]:
    """Return the versions of the programs.

    Raises
    ------
    ClickException
        One is not installed.
    """
    found = {name: version(name) for name in ("tritonclient", "tokenizers")}
    for name, flag, pattern in (
        ("wrk", "-v", r"wrk (?:debian/)?(\S+)"),
        ("h2load", "--version", r"nghttp2/(\S+)"),
    ):
        if shutil.which(name) is None:
            raise click.ClickException(
                f"{name} is not installed: apt-get install wrk nghttp2-client"
            )
        said = subprocess.run([name, flag], capture_output=True, text=True)
        match = re.search(pattern, said.stdout + said.stderr)
        found[name] = match[1] if match else ""
    return found


def body_of(text: str) -> str:
    """Return what asks for the embedding of a text, in binary as tritonclient does."""
    given = {"name": "TEXT", "shape": [1], "datatype": "BYTES", "data": [text]}
    wanted = {"name": "EMBEDDING", "parameters": {"binary_data": True}}
    return json.dumps({"inputs": [given], "outputs": [wanted]})


def write_bodies(path: Path, texts: Sequence[str]) -> Path:
    """Write what `wrk` sends, a line for each text, and return the file."""
    path.write_text("".join(f"{body_of(text)}\n" for text in texts), encoding="utf-8")
    return path


def wrk(address: str, model: str, bodies: Path, clients: int, seconds: float) -> Load:
    """Have so many clients ask for so long, each as soon as it is answered."""
    url = f"http://{address}/v2/models/{model}/infer"
    command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
    run = [*command, "-s", str(_ASK), url, "--", str(bodies)]
    said = subprocess.run(run, capture_output=True, text=True, check=True)
    return Load(**json.loads(said.stdout.strip().splitlines()[-1]))


@dataclass(frozen=True)
class Answer:
    """One answer that h2load got."""

    begun_s: float
    status: int
    ms: float


def h2load(
    address: str, model: str, body: Path, clients: int, rate: float, seconds: float, log: Path
) -> list[Answer]:
    """Ask so many times a second over so many connections; return every answer.

    Connections start one after the other, so that requests come evenly; otherwise all of them ask
    at the same moments. One asks again when it was answered: those that wait ask less often.
    """
    log.unlink(missing_ok=True)
    url = f"http://{address}/v2/models/{model}/infer"
    each = rate / clients  # of a connection, a second
    starting = max(1, round(clients * each * _STEP_MS / 1000))
    command = ["h2load", "--h1", "-t1", f"-c{clients}", f"-n{round(rate * seconds)}"]
    even = [f"-r{starting}", f"--rate-period={_STEP_MS}ms", f"--rps={each:.4f}"]
    more = [f"--log-file={log}", "-d", str(body)]
    subprocess.run([*command, *even, *more, url], capture_output=True, text=True, check=True)
    rows = (line.split("\t") for line in log.read_text().splitlines())
    return [Answer(int(row[0]) / 1e6, int(row[1]), int(row[2]) / 1e3) for row in rows]


class TritonClient:
    """One client of tritonclient.http that asks for the embedding of one text."""

    def __init__(self, address: str, model: str, text: str) -> None:
        import tritonclient.http as http

        given = http.InferInput("TEXT", [1], "BYTES")
        given.set_data_from_numpy(np.array([text], object))
        self._ask: dict[str, Any] = {"model_name": model, "inputs": [given]}
        self._ask["outputs"] = [http.InferRequestedOutput("EMBEDDING")]
        self._client = http.InferenceServerClient(address)

    def __call__(self) -> None:
        """Ask once."""
        self._client.infer(**self._ask)


def times_of(call: Any, seconds: float) -> list[float]:
    """Return how long calls take, one after the other, in milliseconds."""
    times, end = [], time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times
