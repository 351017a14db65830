"""What is measured of the server, case by case."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from serving import turns
from serving.generators import body_of, h2load, write_bodies, wrk
from serving.quiet import quiet_rounds
from serving.server import Served, echoing, serving
from serving.texts import ids_of, natural_texts, spread_texts, text_of

from tvm_sparse.bench.serving_record import Figure
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.runtime.on_texts import open_texts
from tvm_sparse.serve.model_config import QueueConfig
from tvm_sparse.text.text_model import TextModel

CLIENTS = 8
SHORT, LONG = 16, 128


@dataclass(frozen=True)
class Bench:
    """What there is to measure with.

    Attributes
    ----------
    folder : Path
        What `make_served.py` made.
    scratch : Path
        For files that are needed for a while.
    cores : int
        Cores of the server.
    scale : float
        Seconds of a round by those that are meant.
    """

    folder: Path
    scratch: Path
    cores: int
    scale: float

    def model(self, name: str, **more: Any) -> dict[str, Any]:
        """Return a model of the file of a server, asked for embeddings."""
        directory = str((self.folder / name).resolve())
        task = {"task": "sentence-embedding"}
        return {"name": name.replace("/", "-"), "model": directory, **task, **more}

    def texts(self, name: str) -> TextModel:
        """Return what turns texts into tokens for a model."""
        directory = self.folder / name
        metadata = load_metadata(directory)
        return open_texts(_Unloaded(metadata.inputs), metadata, directory)

    def bodies(self, *texts: str) -> Path:
        """Return a file of requests."""
        return write_bodies(self.scratch / f"{abs(hash(texts))}.txt", texts)


class _Unloaded:
    """A model that only tells its inputs."""

    def __init__(self, inputs: Any) -> None:
        self.inputs = inputs


Case = Callable[[Bench], Iterator[Figure]]


def echo(bench: Bench) -> Iterator[Figure]:
    """CPU of the server for a request that it only echoes."""
    bodies = bench.bodies("the red bird sings in the old tree")
    with echoing() as served:
        for clients, target in ((1, 90.0), (CLIENTS, 90.0)):

            def spent(clients: int = clients) -> float:
                before = served.cpu_s()
                load = wrk(served.address, "model", bodies, clients, 3 * bench.scale)
                return (served.cpu_s() - before) / load.requests * 1e6

            rounds = quiet_rounds(3, spent)
            what = f"server CPU a request, {_clients(clients)}"
            yield _figure("echo", what, rounds, "us", target)


def latency(bench: Bench) -> Iterator[Figure]:
    """MiniLM over HTTP and by itself, one request at a time."""
    texts = bench.texts("minilm")
    artifact = str(bench.folder / "minilm")
    with serving([bench.model("minilm")], cores=bench.cores) as served:
        for tokens in (SHORT, LONG):
            text = text_of(texts, tokens)
            ids = ids_of(texts, text)
            with (
                turns.turn(turns.raw, artifact, bench.cores, [ids]) as raw,
                turns.turn(turns.client, served.address, "minilm", text) as asked,
            ):
                pairs = quiet_rounds(
                    10, lambda: (raw.times(0.4 * bench.scale), asked.times(1.2 * bench.scale))
                )
            alone, over_http = zip(*pairs, strict=True)
            case = f"MiniLM, {tokens} tokens, one client"
            medians = [float(np.median(times)) for times in over_http]
            runs = [float(np.median(times)) for times in alone]
            everything = np.concatenate(over_http)
            p50, p99 = (float(value) for value in np.percentile(everything, [50, 99]))
            more = [one - other for one, other in zip(medians, runs, strict=True)]
            yield _figure(case, "run alone, median", runs, "ms")
            yield _figure(
                case, "over HTTP, median", medians, "ms", 1.0 if tokens == SHORT else None
            )
            yield Figure(case, "over HTTP, 99th percentile", p99, "ms")
            target = 3.0 if tokens == SHORT else None
            yield Figure(case, "99th percentile by the median", p99 / p50, "x", target)
            yield _figure(case, "more than alone", more, "ms", 0.7 if tokens == LONG else None)


def throughput(bench: Bench) -> Iterator[Figure]:
    """BERT-base with eight clients, beside the build by itself and ONNX Runtime served."""
    texts = bench.texts("bert")
    text = text_of(texts, LONG)
    ids, bodies = ids_of(texts, text), bench.bodies(text)
    case = f"BERT-base, {LONG} tokens, {CLIENTS} clients"
    artifact = str(bench.folder / "bert")
    with (
        serving([bench.model("bert")], cores=bench.cores) as ours,
        serving([bench.model("bert-onnx")], cores=bench.cores) as theirs,
        turns.turn(turns.raw, artifact, bench.cores, [ids]) as one,
        turns.turn(turns.raw, artifact, bench.cores, [ids] * 3) as three,
        turns.turn(turns.raw, artifact, bench.cores, [ids] * 6) as six,
    ):
        for served, name in ((ours, "bert"), (theirs, "bert-onnx")):
            wrk(served.address, name, bodies, CLIENTS, 1)

        def compared() -> tuple[float, ...]:
            asked = wrk(ours.address, "bert", bodies, CLIENTS, 4 * bench.scale)
            best = max(
                size / float(np.mean(side.times(1.2 * bench.scale))) * 1e3
                for side, size in ((one, 1), (three, 3), (six, 6))
            )
            other = wrk(theirs.address, "bert-onnx", bodies, CLIENTS, 4 * bench.scale)
            return best, asked.rate, other.rate

        rounds = quiet_rounds(4, compared)
    raw, served_rate, onnx = zip(*rounds, strict=True)
    yield _figure(case, "build alone", raw, "1/s")
    yield _figure(case, "served", served_rate, "1/s")
    yield _figure(case, "ONNX Runtime served", onnx, "1/s")
    yield _figure(case, "served by alone", _ratios(served_rate, raw), "x", 0.92, at_least=True)
    faster = _ratios(served_rate, onnx)
    yield _figure(case, "served by ONNX Runtime served", faster, "x", 8.0, at_least=True)


def mixed(bench: Bench) -> Iterator[Figure]:
    """BERT-base with texts of many lengths: spread evenly, and as texts are."""
    texts = bench.texts("bert")
    kinds = {
        "evenly spread": spread_texts(texts, 128),
        "mostly sentences": natural_texts(texts, 256),
    }
    with serving([bench.model("bert")], cores=bench.cores) as served:
        for kind, given in kinds.items():
            every = [ids_of(texts, text) for text in given]
            case = f"BERT-base, 5 to 300 tokens, {kind}"
            yield Figure(case, "tokens of a text, mean", float(np.mean([*map(len, every)])), "")
            yield from _mixed(bench, served, case, every, bench.bodies(*given))


def _mixed(
    bench: Bench, served: Served, case: str, every: list[list[int]], bodies: Path
) -> Iterator[Figure]:
    artifact = str(bench.folder / "bert")
    with turns.turn(turns.raw_each, artifact, bench.cores, every) as alone:

        def compared() -> tuple[float, ...]:
            before = _padding(served, "bert")
            load = wrk(served.address, "bert", bodies, 2 * CLIENTS, 6 * bench.scale)
            tokens, padded = (b - a for a, b in zip(before, _padding(served, "bert"), strict=True))
            alone_s = float(np.median(alone.times(0.01))) / 1e3 / len(every)
            return 1 / alone_s, load.rate, 100 * padded / (tokens + padded)

        rounds = quiet_rounds(3, compared)
    raw, rate, padding = zip(*rounds, strict=True)
    yield _figure(case, "one after the other, alone", raw, "1/s")
    yield _figure(case, f"served to {2 * CLIENTS} clients", rate, "1/s")
    yield _figure(case, "served by alone", _ratios(rate, raw), "x", 0.85, at_least=True)
    yield _figure(case, "padding of all tokens computed", padding, "%", 8.0)


def many(bench: Bench) -> Iterator[Figure]:
    """Nineteen builds of BERT-base in one server."""
    names = sorted(f"many/{one.name}" for one in (bench.folder / "many").iterdir())
    models = [bench.model(name) for name in names]
    for name in names:  # warm files
        (bench.folder / name / "model.so").read_bytes()
    text = bench.bodies(*natural_texts(bench.texts(names[0]), 32))
    case = f"{len(names)} builds of BERT-base"
    with serving(models, cores=bench.cores) as served:
        yield Figure(case, "all ready", served.ready_s, "s", 15.0)
        yield Figure(case, "memory of all processes, ready", served.pss_mb(), "MB", 1500.0)
        for model in models:
            wrk(served.address, model["name"], text, 2, 1)
        what = "memory of all processes, each asked for a second"
        yield Figure(case, what, served.pss_mb(), "MB", 1500.0)


def overload(bench: Bench) -> Iterator[Figure]:
    """BERT-base, asked ten times as much as it can answer."""
    text = text_of(bench.texts("bert"), LONG)
    bodies, body = bench.bodies(text), bench.scratch / "body.json"
    body.write_text(body_of(text))
    case = "BERT-base, ten times what it can answer"
    with serving([bench.model("bert")], cores=bench.cores) as served:
        wrk(served.address, "bert", bodies, CLIENTS, 2)
        rates = [wrk(served.address, "bert", bodies, CLIENTS, 8 * bench.scale).rate]
        seconds = 60 * bench.scale
        rate, log = 10 * rates[0], bench.scratch / "answers.tsv"
        clients = max(round(rate), 4 * QueueConfig().max_size)  # most of those in the queue wait
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        answers = h2load(served.address, "bert", body, clients, rate, seconds, log)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        asking = 100 * used / (time.monotonic() - start) / bench.cores
        rates.append(wrk(served.address, "bert", bodies, CLIENTS, 8 * bench.scale).rate)
    good = [one for one in answers if one.status == 200]
    refused = [one.ms for one in answers if one.status == 503]
    other = len(answers) - len(good) - len(refused)
    # Once the queue is full, until the first connections have asked as often as they should.
    first = min(one.begun_s for one in answers)
    begin, end = first + 2, first + seconds
    inside = [one for one in good if begin <= one.begun_s + one.ms / 1e3 <= end]
    asked = [one for one in answers if begin <= one.begun_s <= end]
    capacity, goodput = float(np.mean(rates)), len(inside) / (end - begin)
    yield Figure(case, "capacity before and after", capacity, "1/s", rounds=tuple(rates))
    yield Figure(case, "asked", len(asked) / (end - begin), "1/s")
    yield Figure(case, "answered with 200", goodput, "1/s")
    yield Figure(case, "answered by capacity", goodput / capacity, "x", 0.95, at_least=True)
    yield Figure(case, "of the cores, h2load has", asking, "%")
    if refused:
        half, most = (float(value) for value in np.percentile(refused, [50, 99]))
        yield Figure(case, "refusal, median", half, "ms", 10.0)
        yield Figure(case, "refusal, 99th percentile", most, "ms", 10.0)
    yield Figure(case, "neither answered nor refused", float(other), "", 0.0)


def sizing(bench: Bench) -> Iterator[Figure]:
    """Rate of eight clients and time of one, by cores."""
    for name, lengths in (("minilm", (SHORT, LONG)), ("bert", (SHORT, LONG))):
        texts = bench.texts(name)
        bodies = {tokens: bench.bodies(text_of(texts, tokens)) for tokens in lengths}
        for cores in range(1, bench.cores + 1):
            with serving([bench.model(name)], cores=cores) as served:
                for tokens, file in bodies.items():
                    wrk(served.address, name, file, CLIENTS, 1)
                    one = wrk(served.address, name, file, 1, 3 * bench.scale)
                    all_ = wrk(served.address, name, file, CLIENTS, 3 * bench.scale)
                    case = f"{name}, {tokens} tokens, cores: {cores}"
                    yield Figure(case, "one client, median", one.p50_ms, "ms")
                    yield Figure(case, f"{CLIENTS} clients", all_.rate, "1/s")


CASES: dict[str, Case] = {
    one.__name__: one for one in (echo, latency, throughput, mixed, many, overload, sizing)
}


def _figure(
    case: str,
    what: str,
    rounds: Any,
    unit: str,
    target: float | None = None,
    at_least: bool = False,
) -> Figure:
    values = tuple(round(float(value), 4) for value in rounds)
    return Figure(case, what, float(np.median(values)), unit, target, at_least, values)


def _ratios(ones: Any, others: Any) -> list[float]:
    return [one / other for one, other in zip(ones, others, strict=True)]


def _clients(count: int) -> str:
    return "one client" if count == 1 else f"{count} clients"


def _padding(served: Served, model: str) -> tuple[float, float]:
    """Return how many tokens were computed for texts so far, and how many for nothing."""
    found = {}
    for line in served.get("/metrics").splitlines():
        name, _, rest = line.partition("{")
        if rest.startswith(f'model="{model}"'):
            found[name] = float(rest.rpartition(" ")[2])
    return found["tvm_sparse_tokens_total"], found["tvm_sparse_padding_tokens_total"]
