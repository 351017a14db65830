"""A job from its beginning to its end."""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

from tvm_sparse.batch.asking import Question, check_question
from tvm_sparse.batch.columns import check_columns
from tvm_sparse.batch.crew import Crew, gather
from tvm_sparse.batch.done import Done
from tvm_sparse.batch.manifest import Manifest, Standing, finish_job, start_job
from tvm_sparse.batch.outputs import Outputs
from tvm_sparse.batch.parts import cut, find_sources
from tvm_sparse.batch.predictor import check_artifact
from tvm_sparse.batch.record import BatchRecord, StartUp, cost_of, worker_records
from tvm_sparse.batch.spec import BatchSpec
from tvm_sparse.batch.work import Job
from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.dependencies import BATCH, check_dependencies
from tvm_sparse.errors import BuildError, CheckError
from tvm_sparse.host import available_cores
from tvm_sparse.progress import Progress, silent
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.words import counted


@dataclass(frozen=True)
class Advance:
    """How far a job is.

    Attributes
    ----------
    total, rows : int
        Rows of the input, and those that are done.
    errors : int
        Those of them that failed.
    rows_per_s, tokens_per_s, left_s : float
        Of this run, and the seconds that it will go on at that rate.
    """

    total: int
    rows: int
    errors: int
    rows_per_s: float
    tokens_per_s: float
    left_s: float


Tell = Callable[[Advance], None]
#: So many parts for each actor keep all busy to the end, about.
_PARTS_PER_ACTOR = 32


def run_batch(spec: BatchSpec, step: Progress = silent, tell: Tell = silent) -> BatchRecord:
    """Answer all rows of the input, and return the record.

    Parameters
    ----------
    spec : BatchSpec
        The job.
    step, tell : callable
        Receive a line a step, and how far the work is.

    Raises
    ------
    TvmSparseError
        The job cannot be done, with the reason in one line; what is done of it stays, and `resume`
        goes on.
    """
    check_dependencies(BATCH)
    task = check_artifact(spec.artifact, spec.task, here=not spec.use_ray)
    question = Question(task, spec.column, spec.pair_column, spec.options)
    check_question(question)
    metadata = load_metadata(spec.artifact)
    began = time.monotonic()
    sources, unread = find_sources(spec.inputs)
    for path in unread:
        step(f"{path} is not read: its name ends like none that is")
    count = spec.parts or _PARTS_PER_ACTOR * (spec.actors or available_cores())
    parts = list(cut(sources, count))
    check_columns(parts, question)
    outputs = Outputs(spec.output, spec.format)
    manifest = Manifest(
        artifact=metadata.checksum,
        question=question,
        truncate=spec.truncate,
        format=spec.format,
        keep_order=spec.keep_order,
        parts=parts,
    )
    standing = start_job(outputs, manifest, spec.resume)
    input_s = time.monotonic() - began
    pending = [part for part in parts if part.index not in standing.parts]
    if standing.parts:
        step(f"{counted(len(standing.parts), 'part')} of {len(parts)} are done already")
    totals = _Totals(sum(part.rows for part in parts), standing, tell)
    crew = Crew()
    if pending:
        with gather(spec, task, step) as crew:
            job = Job(
                artifact=os.path.abspath(spec.artifact),
                question=question,
                outputs=outputs,
                threads=crew.threads,
                truncate=spec.truncate,
                pin=spec.use_ray,
            )
            totals.begin()
            for done in crew.do(job, pending):
                totals.add(done)
    if not totals.rows == totals.rows_in == totals.rows_out + totals.errors:
        raise CheckError(
            f"{totals.rows} rows in the input, {totals.rows_in} read, {totals.rows_out} answered, "
            f"{totals.errors} errors: they do not agree"
        )
    if not standing.finished:
        finish_job(outputs, manifest, totals.rows_out, totals.errors)
    rows, core_s = totals.rows_in - totals.resumed, crew.actors * totals.work_s
    model_s = sum(one.model_s for one in totals.done)
    workers = worker_records(totals.done, totals.work_s)
    return BatchRecord(
        environment=detect_environment(crew.threads),
        artifact=metadata.name,
        build=metadata.build,
        isa=metadata.isa,
        task=task,
        ray=crew.ray,
        nodes=crew.nodes,
        actors=crew.actors,
        threads_per_actor=crew.threads,
        start_up=StartUp(crew.ray_s, crew.check_s, input_s, totals.actors_s),
        work_s=totals.work_s,
        rows_in=totals.rows_in,
        rows_out=totals.rows_out,
        errors=totals.errors,
        resumed_rows=totals.resumed,
        parts=len(parts),
        restarts=max(len(workers) - crew.actors, 0),
        tokens=totals.tokens,
        padding=sum(one.padding for one in totals.done),
        cuts=sum(one.cuts for one in totals.done),
        rows_per_s=rows / totals.work_s if totals.work_s else 0.0,
        tokens_per_s=totals.tokens / totals.work_s if totals.work_s else 0.0,
        model_s=model_s,
        overhead=core_s / model_s - 1 if model_s else 0.0,
        driver_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        workers=workers,
        cost=cost_of(spec.price_per_core_hour, crew.actors * crew.threads, totals.work_s, rows),
    )


class _Totals:
    """What is done so far."""

    def __init__(self, rows: int, standing: Standing, tell: Tell) -> None:
        self.rows, self._tell = rows, tell
        self.rows_out, self.errors = standing.rows_out, standing.errors
        self.rows_in = self.resumed = self.rows_out + self.errors
        self.done: list[Done] = []
        self.tokens = 0
        self._asked = time.monotonic()
        self._began = math.inf
        self.work_s = self.actors_s = 0.0

    def begin(self) -> None:
        """Remember when actors were asked for."""
        self._asked = time.monotonic()

    def add(self, done: Done) -> None:
        """Count a part in."""
        if done.fault:
            raise BuildError(f"{done.fault}; --resume goes on with what is left")
        now = time.monotonic()
        # The part that is done first need not be the one that was begun first.
        self._began = min(self._began, now - done.seconds)
        self.actors_s, self.work_s = self._began - self._asked, now - self._began
        self.done.append(done)
        self.rows_in += done.rows_in
        self.rows_out += done.rows_out
        self.errors += done.errors
        self.tokens += done.tokens
        rate = (self.rows_in - self.resumed) / self.work_s
        self._tell(
            Advance(
                total=self.rows,
                rows=self.rows_in,
                errors=self.errors,
                rows_per_s=rate,
                tokens_per_s=self.tokens / self.work_s,
                left_s=(self.rows - self.rows_in) / rate if rate else 0.0,
            )
        )
