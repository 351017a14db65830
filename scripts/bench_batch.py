#!/usr/bin/env python
"""Measure a job of `tvm-sparse batch`: actors, another engine, memory, and what the driver bears.

    scripts/make_articles.py articles.jsonl
    scripts/bench_batch.py articles.jsonl --sparse nli95 --dense nli --onnx nli.onnx

Every article is classified zero-shot with two labels. `whole` runs the job with one actor and with
two, `peers` a slice of it with the dense build and with ONNX Runtime too: the same rows, tokens,
parts and actors, with another model in them. Rates are of the steady state: from the moment when
every actor has done a part to the one when the parts run out. `memory` tells what one, two and four
actors have alone and share, beside an actor of Ray Data that does nothing. `driver` tells how many
parts a second go through the driver, and what listing and cutting files takes. `answers` embeds
the articles with the build of a real encoder, compares the vectors with those of `encode`, and
tells how many of one half are nearest to the mean of their own section in the other half.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

import tvm_sparse
from tvm_sparse.batch.asking import Question
from tvm_sparse.batch.cluster import ray_running
from tvm_sparse.batch.done import Done
from tvm_sparse.batch.on_ray import do_on_ray
from tvm_sparse.batch.outputs import Outputs
from tvm_sparse.batch.parts import Part, cut, find_sources
from tvm_sparse.batch.predictor import Predictor
from tvm_sparse.batch.run import run_batch
from tvm_sparse.batch.spec import BatchSpec
from tvm_sparse.batch.work import Job, Worker, memory_of_process
from tvm_sparse.runtime.metadata import load_metadata

LABELS = ["games", "sound"]
PARTS = 64
#: The fastest for neighbours in length: the two pairs of a text have the same, within a token.
ONNX_BATCH = 2


class OnnxModel:
    """ONNX Runtime as a model that takes sequences of any lengths."""

    def __init__(self, artifact: str, graph: str, threads: int) -> None:
        import onnxruntime

        self.metadata = load_metadata(artifact)
        self.inputs = self.metadata.inputs
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )
        self._names = [value.name for value in self._session.get_inputs()]

    def computed_tokens(self, lengths: list[int]) -> int:
        """Return the tokens of all neighbours, padded to the longer."""
        starts = range(0, len(lengths), ONNX_BATCH)
        parts = [lengths[start : start + ONNX_BATCH] for start in starts]
        return sum(len(part) * max(part) for part in parts)

    def run_ragged(self, sequences: list[list[int]], **_more: Any) -> list[dict[str, Any]]:
        """Run neighbours together, padded to the longer."""
        found = []
        for start in range(0, len(sequences), ONNX_BATCH):
            part = sequences[start : start + ONNX_BATCH]
            ids = np.zeros((len(part), max(map(len, part))), np.int64)
            mask = np.zeros_like(ids)
            for row, one in enumerate(part):
                ids[row, : len(one)], mask[row, : len(one)] = one, 1
            values = {"input_ids": ids, "attention_mask": mask}
            (logits,) = self._session.run(["logits"], {n: values[n] for n in self._names})
            found += [{"logits": row} for row in logits]
        return found


def onnx_worker(graph: str) -> type[Worker]:
    """Return the actor of the other engine."""

    class OnnxPredictor(Predictor):
        @staticmethod
        def load(artifact: str | os.PathLike[str], threads: int) -> Any:
            return OnnxModel(str(artifact), graph, threads)

    class OnnxWorker(Worker):
        predictor = OnnxPredictor

    return OnnxWorker


class Idle(Worker):
    """An actor that does nothing."""

    def __init__(self, job: Job) -> None:
        self._name = str(os.getpid())

    def do(self, part: Part) -> Done:
        """Tell what memory it has."""
        private, shared = memory_of_process()
        return Done(part.index, self._name, private_bytes=private, shared_bytes=shared)


def run(
    job: Job, parts: list[Part], actors: int, worker: type[Worker] = Worker
) -> tuple[list[tuple[float, Done]], float]:
    """Return when each part was done, in seconds, and the seconds before the first began."""
    began = time.monotonic()
    done = [(time.monotonic() - began, one) for one in do_on_ray(job, parts, actors, worker)]
    for _, one in done:
        if one.fault:
            raise click.ClickException(one.fault)
    start = min(at - one.seconds for at, one in done)
    return [(at - start, one) for at, one in done], start


def tell(label: str, done: list[tuple[float, Done]], start_s: float, actors: int) -> float:
    """Print how fast a job was; return its rows per second in the steady state."""
    begun = {one.worker: at for at, one in reversed(done)}  # the first part of each
    since = max(begun.values())
    steady = [(at, one) for at, one in done[: len(done) - actors + 1] if at > since]
    rate = sum(one.rows_in for _, one in steady) / (steady[-1][0] - since) if steady else 0.0
    work_s, model_s = done[-1][0], sum(one.model_s for _, one in done)
    busy_s = sum(one.seconds for _, one in done)
    rows, tokens = (sum(getattr(one, name) for _, one in done) for name in ("rows_in", "tokens"))
    click.echo(
        f"{label:24} {rows:7} rows {tokens:9} tokens  {work_s:7.2f} s of work  {rate:8.2f} rows/s "
        f"steady  overhead {busy_s / model_s - 1:.1%} in actors, "
        f"{actors * work_s / model_s - 1:.1%} in all  ({start_s:.1f} s before)"
    )
    return rate


@contextlib.contextmanager
def job_of(artifact: str, truncate: bool = True) -> Iterator[Job]:
    """Yield the job with one build, and a directory for its files."""
    with tempfile.TemporaryDirectory() as folder:
        question = Question("zero-shot-classification", options={"candidate_labels": LABELS})
        yield Job(os.path.abspath(artifact), question, Outputs(folder, "jsonl"), 1, truncate, True)


Side = tuple[str, str, int, type[Worker]]


def compare(parts: list[Part], sides: list[Side]) -> list[tuple[float, float]]:
    """Print how fast each side does the parts; return its rows per second, and its seconds."""
    found = []
    with ray_running(None, cores=2):
        for label, artifact, actors, worker in sides:
            with job_of(artifact) as job:
                done, start_s = run(job, parts, actors, worker)
            found.append((tell(label, done, start_s, actors), done[-1][0]))
    return found


def whole(parts: list[Part], builds: dict[str, str]) -> None:
    """Run the job with one actor and with two."""
    sides = [(f"sparse, {n} of them", builds["sparse"], n, Worker) for n in (2, 1)]
    two, one = compare(parts, sides)
    click.echo(f"two actors over one: {two[0] / one[0]:.2f}x rows/s")


def peers(parts: list[Part], builds: dict[str, str], onnx: str | None) -> None:
    """Run some of it with other models."""
    sides: list[Side] = [("sparse", builds["sparse"], 2, Worker)]
    if onnx:
        worker = onnx_worker(os.path.abspath(onnx))
        sides.append(("ONNX Runtime", builds["sparse"], 2, worker))
    if "dense" in builds:
        sides.append(("dense", builds["dense"], 2, Worker))
    ours, *others = compare(parts, sides)
    for (label, *_), (_, seconds) in zip(sides[1:], others, strict=True):
        click.echo(f"{label}: {seconds / ours[1]:.2f}x our time")


def memory(articles: str, builds: dict[str, str]) -> None:
    """Tell what actors have alone, and what they share."""
    parts = list(cut(find_sources([articles])[0], PARTS))[:16]
    with ray_running(None, cores=4):
        for name, artifact, worker in (
            ("an idle actor", builds["sparse"], Idle),
            *((name, artifact, Worker) for name, artifact in builds.items()),
        ):
            for actors in (1, 2, 4):
                with job_of(artifact) as job:
                    done, _ = run(job, parts, actors, worker)
                last = {one.worker: one for _, one in done}
                private = [one.private_bytes >> 20 for one in last.values()]
                pss = [(one.private_bytes + one.shared_bytes) >> 20 for one in last.values()]
                click.echo(f"{name:14} {actors} actors: private {private} MB, PSS {pss} MB")


def driver(count: int) -> None:
    """Tell how much a driver bears."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    part = Part(0, "none.txt", "txt", 0, 1, 1, 1)
    with ray_running(None, cores=2), job_of(".") as job:
        done, _ = run(job, [replace(part, index=i) for i in range(count)], 2, Idle)
        rate = count / (done[-1][0] - done[0][0])
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    click.echo(f"{count} parts: {rate:.0f} parts/s, driver {before >> 10} to {after >> 10} MB")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            Path(folder, f"{number}.txt").write_text("a text\n")
        began = time.monotonic()
        sources, _ = find_sources([folder])
        listed = time.monotonic()
        list(cut(sources, count))
        ended = time.monotonic()
        click.echo(
            f"{count} files: listed at {count / (listed - began):.0f} files/s, cut at "
            f"{count / (ended - listed):.0f} files/s"
        )
        path = Path(folder, "long.txt")
        path.write_text("a line of sixty characters, as short texts are, about that.\n" * 2_000_000)
        began = time.monotonic()
        list(cut(find_sources([str(path)])[0], 100))
        rate = path.stat().st_size / (time.monotonic() - began)
        click.echo(f"one file of {path.stat().st_size >> 20} MB: cut at {rate / 1e6:.0f} MB/s")


def answers(articles: str, encoder: str) -> None:
    """Tell whether embeddings are right."""
    with tempfile.TemporaryDirectory() as folder:
        run_batch(BatchSpec((articles,), folder, encoder, keep_order=True, actors=2))
        lines = Path(folder, "rows.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    vectors = np.array([row["prediction"] for row in rows])
    wanted = tvm_sparse.load(encoder).encode([row["text"] for row in rows])
    click.echo(f"{len(rows)} embeddings, at most {np.abs(vectors - wanted).max():.1e} from encode")
    sections = np.array([row["section"] for row in rows])
    names, half = sorted({*sections}), len(rows) // 2
    means = np.stack([vectors[:half][sections[:half] == name].mean(axis=0) for name in names])
    found = np.array(names)[(vectors[half:] @ means.T).argmax(axis=1)]
    share = (found == sections[half:]).mean()
    click.echo(f"{share:.1%} of {len(found)} are nearest to their own of {len(names)} sections")


@click.command(help=__doc__)
@click.argument("articles", type=click.Path(exists=True))
@click.option("--sparse", required=True, help="Build of a model for natural language inference.")
@click.option("--dense", help="The dense build of the same model.")
@click.option("--onnx", help="The same model as an ONNX graph with open axes.")
@click.option("--encoder", help="Build of an encoder of sentences, for `answers`.")
@click.option("--only", default="whole,peers,memory,driver,answers", show_default=True)
@click.option("--slices", default=10, show_default=True, help="Parts for slow models.")
@click.option("--parts", default=2000, show_default=True, help="For `driver`.")
def main(
    articles: str,
    sparse: str,
    dense: str | None,
    onnx: str | None,
    encoder: str | None,
    only: str,
    slices: int,
    parts: int,
) -> None:
    """Measure."""
    builds = {"sparse": sparse, **({"dense": dense} if dense else {})}
    cuts = list(cut(find_sources([articles])[0], PARTS))
    if "whole" in only:
        whole(cuts, builds)
    if "peers" in only:
        peers(cuts[:: max(len(cuts) // slices, 1)], builds, onnx)
    if "memory" in only:
        memory(articles, builds)
    if "driver" in only:
        driver(parts)
    if "answers" in only and encoder:
        answers(articles, encoder)


if __name__ == "__main__":
    main()
