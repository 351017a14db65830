"""Measure this package's builds and other engines in turns, after comparing what they compute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tvm_sparse.bench.disturbance import until_quiet
from tvm_sparse.bench.output_error import output_errors
from tvm_sparse.bench.peers.contender import Arrays, Contender
from tvm_sparse.bench.peers.engine import TOLERANCE, Engine
from tvm_sparse.bench.peers.process import PeerProcess
from tvm_sparse.bench.peers.record import EngineResult, summarise
from tvm_sparse.bench.rounds import measure_rounds
from tvm_sparse.bench.throughput import measure_streams
from tvm_sparse.bench.worker_process import WorkerProcess
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.errors import BuildError, TvmSparseError
from tvm_sparse.progress import ShareProgress, steps
from tvm_sparse.runtime.compare import difference

#: What outputs are compared with that our own dense build computed.
OWN_REFERENCE = "tvm_sparse dense"


def prepare_engines(engines: Iterable[Engine], checkpoint: Path, report: ShareProgress) -> str:
    """Write what the installed engines load into a checkpoint directory.

    Returns why a preparation failed, empty when none did; the engines then fail one by one.
    """
    steps = [step for engine in engines if not engine.missing() for step in engine.prepares]
    for step in dict.fromkeys(steps):
        report(f"preparing {step}", 0.0)
        try:
            PeerProcess(step, checkpoint, 1, prepare=True).close()
        except (TvmSparseError, OSError) as error:
            return str(error)
    return ""


def run_once(engine: Engine, checkpoint: Path, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Return an engine's outputs on a checkpoint directory; BuildError if it cannot run it."""
    with PeerProcess(engine.module, checkpoint, 1, engine.name) as worker:
        worker.bind(inputs)
        return worker.run()


def run_artifact(directory: Path, inputs: Arrays) -> Arrays:
    """Return an artifact's outputs, computed in a process of its own."""
    with WorkerProcess(directory, 1) as worker:
        worker.bind(inputs)
        return worker.run()


def compare(
    contenders: Sequence[Contender], threads: int, spec: BenchSpec, report: ShareProgress
) -> list[EngineResult]:
    """Check every contender against its reference, then measure all that passed in turns.

    Results and rounds are in the order of the contenders, which have so many threads each and never
    run at the same time. What something disturbs is measured again. Throughput is measured besides
    at each number of streams that `spec` has, which share the threads.
    """
    results = {
        contender.result.label: replace(contender.result, threads=threads)
        for contender in contenders
    }
    with contextlib.ExitStack() as stack:
        workers: dict[str, WorkerProcess] = {}
        for contender in contenders:
            label = contender.result.label
            if results[label].status != "measured":
                continue
            report(f"checking {label}", 0.0)
            try:
                worker = contender.start(threads)
                stack.callback(worker.close)
                results[label] = _checked(results[label], contender, worker)
            except (TvmSparseError, OSError) as failure:
                results[label] = replace(results[label], status="failed", detail=str(failure))
                continue
            if results[label].status == "measured":
                workers[label] = worker
            else:
                worker.close()
        if not workers:
            return list(results.values())
        measured, disturbance = until_quiet(
            lambda: measure_rounds(workers, spec, report), steps(report)
        )
        for label, samples in measured.items():
            results[label] = replace(
                results[label],
                latency_ms=summarise(samples.samples_ms, samples.round_median_ms),
                peak_memory_bytes=workers[label].peak_memory_bytes(),
                disturbance=disturbance,
            )
    chosen = [one for one in contenders if one.has_streams and one.result.label in workers]
    if spec.streams and chosen:
        starts = {one.result.label: one.start for one in chosen}
        inputs = {one.result.label: one.inputs for one in chosen}
        batch = len(next(iter(chosen[0].inputs.values())))
        found = measure_streams(starts, inputs, batch, threads, spec, report)
        for label, records in found.items():
            results[label] = replace(results[label], streams=records)
    return list(results.values())


def _checked(result: EngineResult, contender: Contender, worker: WorkerProcess) -> EngineResult:
    """Run a loaded worker once and return the result with what that told."""
    worker.bind(contender.inputs)
    outputs = worker.run()
    error = max_error(outputs, contender.reference)
    wrong = error > TOLERANCE and result.precision == "fp32"
    return replace(
        result,
        status="failed" if wrong else "measured",
        detail=f"differs from {result.reference} by {error:.3g}" if wrong else "",
        max_absolute_error=error,
        error=next(
            iter(output_errors(outputs, contender.reference, contender.inputs).values()), None
        ),
        facts=worker.facts() if isinstance(worker, PeerProcess) else {},
        load_s=worker.load_s,
    )


def max_error(found: Arrays, reference: Arrays) -> float:
    """Return the largest absolute difference over all outputs of the reference.

    Raises BuildError if an output is missing or has another shape.
    """
    gaps = [0.0]
    for name, wanted in reference.items():
        value = found.get(name)
        if value is None or value.shape != wanted.shape:
            came = "none" if value is None else f"shape {value.shape}"
            raise BuildError(f"output {name} of shape {wanted.shape} is needed, {came} came")
        gaps.append(difference(value, wanted, TOLERANCE, 0.0).max_absolute)
    return max(gaps)
