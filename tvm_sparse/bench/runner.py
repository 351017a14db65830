"""Measure builds side by side, each in a process of its own.

Both stay loaded and take turns in short rounds, A B A B: whatever else the machine does in the
meantime slows both, and the round-by-round ratio cancels it.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone

from tvm_sparse.bench.disturbance import Disturbance, judge, until_quiet
from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.bench.output_error import output_errors
from tvm_sparse.bench.record import BenchRecord, BuildRecord, Speedup, paired_speedups
from tvm_sparse.bench.rounds import RoundSamples, measure_rounds
from tvm_sparse.bench.throughput import measure_streams
from tvm_sparse.bench.worker_process import Arrays, WorkerProcess
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.formats.builds import DENSE
from tvm_sparse.host import threads_here
from tvm_sparse.progress import ShareProgress, silent, steps
from tvm_sparse.runtime.measure import measure_summary
from tvm_sparse.runtime.metadata import LIBRARY_FILE, ArtifactMetadata, CallTime, load_metadata

#: Profiles of a build until one takes no more than so much longer than its fastest round.
_PROFILES, _GOOD_PROFILE = 4, 1.1


def benchmark(
    artifacts: Mapping[str, str | os.PathLike[str]],
    inputs: Arrays,
    spec: BenchSpec,
    threads: int | None = None,
    *,
    profile_repeats: int = 0,
    pace_ms: float | None = None,
    progress: ShareProgress = silent,
) -> BenchRecord:
    """Measure builds of a model side by side; again if something disturbs it.

    Parameters
    ----------
    artifacts : mapping of str to path
        Artifact directories by name of the build.
    inputs : mapping of str to numpy.ndarray
        Inputs of all builds.
    spec : BenchSpec
        How long to measure.
    threads : int or None
        Threads every build runs on; None means every available core.
    profile_repeats : int
        Runs over which every kernel call is timed afterwards; 0 leaves that out. Up to four times
        as many where something slows them.
    pace_ms : float, optional
        What the dense build takes on the quiet machine, if that is known.
    progress : callable or None
        Called as the measurement goes on with a line of text and the finished share, 0..1.

    Returns
    -------
    BenchRecord

    Raises
    ------
    ArtifactError
        If an artifact does not load here.
    InputError
        If the inputs do not fit a build.
    BuildError
        If a worker dies.
    """
    if not artifacts:
        raise ValueError("no artifacts to measure")
    threads = threads_here(threads)
    environment = detect_environment(threads)
    with contextlib.ExitStack() as stack:
        workers: dict[str, WorkerProcess] = {}
        for name, directory in artifacts.items():
            progress(f"loading {name}", 0.0)
            workers[name] = stack.enter_context(WorkerProcess(directory, threads))
            workers[name].bind(inputs)
        metadata = {name: load_metadata(worker.artifact) for name, worker in workers.items()}
        memory: dict[str, int] = {}

        def measure() -> tuple[dict[str, BuildRecord], Disturbance]:
            measured, found = measure_rounds(workers, spec, progress)
            builds = {}
            for name, worker in workers.items():
                # Asked before profiling, which needs memory of its own.
                if name not in memory:
                    memory[name] = worker.peak_memory_bytes()
                batch, _ = _shape(metadata[name], inputs)
                build = _build_record(
                    metadata[name], batch, measured[name], worker.load_s, memory[name]
                )
                if profile_repeats:
                    progress(f"profiling {name}", 1.0)
                    best_ms = min(build.round_median_ms)
                    build = replace(build, calls=_profile(worker, profile_repeats, best_ms))
                builds[name] = build
            timed = {name: build.timed for name, build in builds.items()}
            if pace_ms is not None:
                dense = timed[DENSE.name]
                timed[DENSE.name] = replace(dense, best_ms=min(dense.best_ms, pace_ms))
            return builds, judge(timed, found.waiting)

        builds, disturbance = until_quiet(measure, steps(progress))
        builds = _beside_dense(builds, workers, inputs)
    if spec.streams:
        # Loaded anew: the threads of a stream are not those of a build alone.
        starts = {name: functools.partial(WorkerProcess, path) for name, path in artifacts.items()}
        batch, _ = _shape(next(iter(metadata.values())), inputs)
        given = dict.fromkeys(artifacts, inputs)
        measured = measure_streams(starts, given, batch, threads, spec, progress)
        builds = {name: replace(build, streams=measured[name]) for name, build in builds.items()}
    # What became of the layers is the last build's to tell.
    described = list(metadata.values())[-1]
    specs = described.spec
    if described.is_open:  # what was measured, not what is possible
        batch, seq_len = _shape(described, inputs)
        specs = {**specs, "model": {**specs["model"], "batch": batch, "seq_len": seq_len}}
    return BenchRecord(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        model=described.model,
        weights=described.weights,
        spec={**specs, "bench": asdict(spec)},
        builds=builds,
        environment=environment,
        disturbance=disturbance,
        decisions=described.decisions,
        sparse_flops_share=described.sparse_flops_share,
    )


def _shape(metadata: ArtifactMetadata, inputs: Arrays) -> tuple[int, int]:
    """Return the batch and the length that a build is measured at."""
    if metadata.is_open:
        batch, seq_len, *_ = inputs[metadata.inputs[0].name].shape
        return batch, seq_len
    spec = metadata.spec["model"]
    return int(spec["batch"]), int(spec["seq_len"])


def _build_record(
    metadata: ArtifactMetadata,
    batch: int,
    samples: RoundSamples,
    load_s: float,
    peak_memory_bytes: int,
) -> BuildRecord:
    latency = measure_summary(samples.samples_ms)
    return BuildRecord(
        latency_ms=latency,
        items_per_s=batch / (latency.mean / 1e3),
        iterations=len(latency.samples),
        round_median_ms=tuple(samples.round_median_ms),
        weights_bytes=metadata.weights_bytes,
        size_on_disk_bytes=metadata.files[LIBRARY_FILE].size_bytes,
        compile_s=metadata.compile_s,
        load_s=load_s,
        peak_memory_bytes=peak_memory_bytes,
    )


def _profile(worker: WorkerProcess, repeats: int, best_ms: float) -> tuple[CallTime, ...]:
    """Time the kernel calls; again if something slowed them, of which the fastest are kept."""
    best: tuple[CallTime, ...] = ()
    for _ in range(_PROFILES):
        calls = worker.profile(repeats)
        if not best or _total_ms(calls) < _total_ms(best):
            best = calls
        if _total_ms(best) <= _GOOD_PROFILE * best_ms:
            break
    return best


def _total_ms(calls: Sequence[CallTime]) -> float:
    return sum(call.latency_ms for call in calls)


def _beside_dense(
    builds: Mapping[str, BuildRecord], workers: Mapping[str, WorkerProcess], inputs: Arrays
) -> dict[str, BuildRecord]:
    """Compare builds with the dense one among them, in speed and in what they compute."""
    if DENSE.name not in builds or len(builds) == 1:
        return dict(builds)
    dense, wanted = builds[DENSE.name], workers[DENSE.name].run()
    compared = {DENSE.name: dense}
    for name, build in builds.items():
        if name == DENSE.name:
            continue
        low, high = paired_speedups(dense.round_median_ms, build.round_median_ms)
        compared[name] = replace(
            build,
            speedup=Speedup(
                ratio=dense.latency_ms.median / build.latency_ms.median,
                undisturbed=dense.latency_ms.p10 / build.latency_ms.p10,
                p10=low,
                p90=high,
            ),
            errors=output_errors(workers[name].run(), wanted, inputs),
        )
    return {name: compared[name] for name in builds}
