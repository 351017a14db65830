"""A server of ours in processes of its own, and what it uses."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

_ECHO = """
import sys, uvloop
from tvm_sparse.serve.address_config import HttpConfig
from tvm_sparse.serve.model_config import QueueConfig
from tvm_sparse.serve.listening import listen
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.served_model import ServedModel
from tvm_sparse.serve.signature import Signature
from tvm_sparse.serve.server import Server
from tvm_sparse.serve.streams import Streams
from tvm_sparse.serve.tensors import TensorPlace

places = [(TensorPlace(name, "BYTES", (-1,)),) for name in ("TEXT", "EMBEDDING")]
answer = lambda request: {"EMBEDDING": request.inputs["TEXT"]}
model = ServedModel("model", Signature("echo", *places), answer, Streams(1), QueueConfig())
model.ready = True
config = HttpConfig(port=0)
with listen(config) as bound:
    print(f"listening on http://127.0.0.1:{bound.getsockname()[1]}", file=sys.stderr)
    server = Server(Repository(models={"model": model}), config)
    uvloop.new_event_loop().run_until_complete(server.serve([bound]))
"""
_READY_S = 120


@dataclass(frozen=True)
class Served:
    """A server that is ready.

    Attributes
    ----------
    address : str
        host:port.
    pid : int
        Of its first process.
    ready_s : float
        Seconds from its start until every model had answered.
    """

    address: str
    pid: int
    ready_s: float

    def cpu_s(self) -> float:
        """Return the CPU time that all its processes have used."""
        total = 0.0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total

    def pss_mb(self) -> float:
        """Return the memory of all its processes: what they share is counted once."""
        lines = (
            line
            for pid in self.pids()
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        )
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    def pids(self) -> list[int]:
        """Return its processes."""
        found = [self.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found.extend(map(int, children.read_text().split()))
        return found

    def get(self, path: str) -> Any:
        """Return the document at an address."""
        with urllib.request.urlopen(f"http://{self.address}{path}") as reply:
            text = reply.read()
        return json.loads(text) if text[:1] in b"{[" else text.decode()


@contextlib.contextmanager
def serving(models: Sequence[dict[str, Any]], **settings: Any) -> Iterator[Served]:
    """Yield a server of models, by the fields of its file."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "models.yaml"
        file.write_text(json.dumps({"models": list(models), **settings}))  # JSON is YAML too
        command = [sys.executable, "-m", "tvm_sparse", "serve", str(file), "--port", "0"]
        with _started(command) as served:
            yield served


@contextlib.contextmanager
def echoing() -> Iterator[Served]:
    """Yield a server with one model, `model`, that returns the text it is given."""
    with _started([sys.executable, "-c", _ECHO]) as served:
        yield served


@contextlib.contextmanager
def _started(command: Sequence[str]) -> Iterator[Served]:
    start = time.monotonic()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        try:
            said = ""
            for line in child.stderr:
                said += line
                if line.startswith("listening on"):
                    break
            else:
                raise click.ClickException(said.strip())
            address = line.split()[2].rpartition("/")[2]
            threading.Thread(target=child.stderr.read, daemon=True).start()
            while not _is_ready(address):
                if child.poll() is not None or time.monotonic() > start + _READY_S:
                    raise click.ClickException(f"{' '.join(command)[-80:]} does not get ready")
                time.sleep(0.02)
            yield Served(address, child.pid, time.monotonic() - start)
        finally:
            child.terminate()


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/v2/health/ready", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
