#!/usr/bin/env python
"""Measure what serving adds to a model: the build, its pipeline, and both over HTTP, in turns.

    scripts/bench_serve.py DIR [--words 12,110] [--seconds 30]

DIR is a build of any shape of a model for sentence embeddings. Rounds of a tenth of a second take
turns, so that what else the machine does slows all alike; printed are medians of rounds: the best,
and the one that a fifth of the rounds are faster than. Then eight clients ask at once, and a model
that only echoes tells what a request costs the server.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import click
import numpy as np
import tritonclient.http as http

import tvm_sparse

ROUND_S, CLIENTS = 0.12, 8
WORDS = ("time", "person", "year", "way", "day", "thing", "man", "world", "life", "hand", "part")
ECHO = """
import sys, uvloop
from tvm_sparse.serve.config import HttpConfig, QueueConfig
from tvm_sparse.serve.listening import listen
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.served_model import ServedModel, Signature
from tvm_sparse.serve.server import Server
from tvm_sparse.serve.streams import Streams
from tvm_sparse.serve.tensors import TensorPlace

places = [(TensorPlace(name, "BYTES", (-1,)),) for name in ("TEXT", "EMBEDDING")]
answer = lambda request: {"EMBEDDING": request.inputs["TEXT"]}
model = ServedModel("model", Signature("echo", *places), answer, Streams(1), QueueConfig())
model.ready = True
config = HttpConfig(port=0)
with listen(config) as bound:
    print(f"listening on http://127.0.0.1:{bound.getsockname()[1]}\\nready", file=sys.stderr)
    server = Server(Repository(models={"model": model}), config)
    uvloop.new_event_loop().run_until_complete(server.serve([bound]))
"""


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[tuple[str, int]]:
    """Yield the address and the process of a server that is ready."""
    with subprocess.Popen([sys.executable, *arguments], stderr=subprocess.PIPE, text=True) as child:
        lines = [child.stderr.readline() for _ in range(2)]
        if not lines[1].startswith("ready"):
            raise click.ClickException("".join(lines).strip())
        yield lines[0].rpartition("/")[2].strip(), child.pid
        child.terminate()


def asks(address: str, model: str, text: str) -> Callable[[], object]:
    """Return what asks a model for one text."""
    given = http.InferInput("TEXT", [1], "BYTES")
    given.set_data_from_numpy(np.array([text], object))
    wanted = [http.InferRequestedOutput("EMBEDDING")]
    client = http.InferenceServerClient(address)
    return lambda: client.infer(model, [given], outputs=wanted)


def round_of(call: Callable[[], object]) -> float:
    """Return the median time of calls in one round, in milliseconds."""
    times, end = [], time.perf_counter() + ROUND_S
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1e3)


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


CLIENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from bench_serve import asks
call, count, end = asks(*sys.argv[2:5]), 0, time.monotonic() + float(sys.argv[5])
while time.monotonic() < end:
    call()
    count += 1
print(count)
"""


def rate(address: str, model: str, text: str, clients: int, seconds: float) -> float:
    """Return how many requests a second so many clients get answered, processes of their own."""
    here = os.path.dirname(os.path.abspath(__file__))
    command = [sys.executable, "-c", CLIENT, here, address, model, text, str(seconds)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(clients)]
    return sum(int(child.communicate()[0]) for child in children) / seconds


@click.command()
@click.argument("directory")
@click.option("--words", default="12,110", show_default=True, help="Words of the texts.")
@click.option("--seconds", default=30.0, show_default=True, help="For each length.")
def main(directory: str, words: str, seconds: float) -> None:
    """Measure what serving adds to the build in DIRECTORY."""
    model = tvm_sparse.load(directory)
    most = model.text.most_tokens
    rng = np.random.default_rng(0)
    with serving("-m", "tvm_sparse", "serve", directory, "--port", "0") as (address, _):
        index = http.InferenceServerClient(address).get_model_repository_index()
        name = index[0]["name"]
        for count in map(int, words.split(",")):
            text = " ".join(rng.choice(WORDS, count))
            ids = model.text.tokenizer.encode(text, most=most).ids
            calls = {
                "run_ragged": lambda ids=ids: model.run_ragged([ids]),
                "encode": lambda text=text: model.encode(text),
                "HTTP": asks(address, name, text),
            }
            rounds: dict[str, list[float]] = {what: [] for what in calls}
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for what, call in calls.items():
                    rounds[what].append(round_of(call))
            for what, found in rounds.items():
                best, fifth = min(found), np.quantile(found, 0.2)
                click.echo(f"{len(ids)} tokens, {what}: {best:.2f} ms, {fifth:.2f} ms")
            rates = [rate(address, name, text, CLIENTS, 2.0) for _ in range(3)]
            click.echo(f"{len(ids)} tokens, {CLIENTS} clients: {max(rates):.0f} a second")
    with serving("-c", ECHO) as (address, pid):
        for clients in (1, CLIENTS):
            before = cpu_s(pid)
            count = rate(address, "model", "the red bird", clients, 4.0) * 4.0
            cost = (cpu_s(pid) - before) / count * 1e6
            click.echo(f"echo, {clients} clients: {cost:.0f} us of the server's CPU a request")


if __name__ == "__main__":
    main()
