"""Measure the dense build of a setting, and a point beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from tvm_sparse.bench.disturbance import AGAIN
from tvm_sparse.bench.parts import latency_by_part
from tvm_sparse.bench.record import BenchRecord, paired_speedups
from tvm_sparse.bench.runner import benchmark
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.formats.builds import DENSE, SPARSE
from tvm_sparse.progress import Progress, ShareProgress, silent
from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.baseline import Baseline, KeptBaseline
from tvm_sparse.whatif.grid import Point
from tvm_sparse.whatif.point_results import Measurement
from tvm_sparse.whatif.sparse_builds import SparseBuilds
from tvm_sparse.whatif.subject import Subject

#: Runs over which the median of every kernel call is taken.
_PROFILE_REPEATS = 20


def load_baseline(subject: Subject, records: Records, setting: Setting) -> Baseline | None:
    """Return the dense build of a setting as it was measured, None if it was not."""
    kept = records.load("baseline", _baseline_identity(subject, setting), KeptBaseline)
    if kept is None:
        return None
    return Baseline.from_record(setting, kept.record, kept.layers, subject.tiles)


def measured_baseline(
    subject: Subject,
    records: Records,
    setting: Setting,
    bench: BenchSpec,
    progress: Progress = silent,
    again: bool = False,
) -> Baseline:
    """Return the dense build of a setting, measured and profiled, from the cache if it is there.

    Parameters
    ----------
    subject : Subject
        The model.
    records : Records
        Keeps the measurement.
    setting : Setting
        Where.
    bench : BenchSpec
        How long.
    progress : callable
        Receives one line a step.
    again : bool
        Measure it again if something disturbed it then.

    Raises
    ------
    TvmSparseError
        From importing, building and measuring.
    """
    found = load_baseline(subject, records, setting)
    if found is not None and not (again and found.disturbed):
        return found
    model = subject.load(setting)
    directory = subject.build_dense(setting)
    progress(f"measuring the dense build, {setting}")
    record = benchmark(
        {DENSE.name: directory},
        subject.inputs(setting),
        bench,
        setting.threads,
        profile_repeats=_PROFILE_REPEATS,
        progress=repetitions(progress),
    )
    kept = KeptBaseline(record, tuple(model.layers))
    spec = {"model": asdict(subject.model_spec(setting))}
    records.save("baseline", _baseline_identity(subject, setting), kept, spec)
    return Baseline.from_record(setting, record, kept.layers, subject.tiles)


def point_identity(subject: Subject, bench: BenchSpec) -> Callable[[Point], Mapping[str, Any]]:
    """Return what the measurement of a point depends on, as a function of the point."""
    code = code_fingerprint("measurement")
    return lambda point: {
        **subject.identity(point),
        "model": asdict(subject.model_spec(point.setting)),
        "bench": asdict(bench),
        "code": code,
    }


def measure_point(
    subject: Subject,
    builds: SparseBuilds,
    point: Point,
    bench: BenchSpec,
    progress: Progress = silent,
    pace_ms: float | None = None,
) -> Measurement:
    """Build a point and measure it, the dense build taking turns with it.

    Parameters
    ----------
    subject : Subject
        The model.
    builds : SparseBuilds
        Makes the sparse build.
    point : Point
        Where.
    bench : BenchSpec
        How long each of the two.
    progress : callable
        Receives one line a step.
    pace_ms : float, optional
        What the dense build took before: a machine on which it takes longer is not quiet.

    Raises
    ------
    TvmSparseError
        From importing, building and measuring.
    """
    start = time.monotonic()
    dense = subject.build_dense(point.setting)
    record = benchmark(
        {DENSE.name: dense, SPARSE.name: builds.build(point)},
        subject.inputs(point.setting),
        bench,
        point.setting.threads,
        profile_repeats=_PROFILE_REPEATS,
        pace_ms=pace_ms,
        progress=repetitions(progress),
    )
    return make_measurement(record, time.monotonic() - start)


def repetitions(progress: Progress) -> ShareProgress:
    """Return what hears all of a measurement, and tells only that it is made again."""
    return lambda text, _share: progress(text) if text == AGAIN else None


def make_measurement(record: BenchRecord, duration_s: float) -> Measurement:
    """Return what a benchmark of a dense and a sparse build, both profiled, says about a point."""
    dense, sparse = record.builds[DENSE.name], record.builds[SPARSE.name]
    dense_ms, sparse_ms = dense.undisturbed_ms, sparse.undisturbed_ms
    low, high = paired_speedups(dense.round_median_ms, sparse.round_median_ms)
    return Measurement(
        latency_ms=sparse_ms,
        dense_latency_ms=dense_ms,
        speedup=dense_ms / sparse_ms,
        speedup_p10=low,
        speedup_p90=high,
        parts_ms=latency_by_part(sparse.calls, sparse_ms),
        weights_bytes=sparse.weights_bytes,
        size_on_disk_bytes=sparse.size_on_disk_bytes,
        peak_memory_bytes=sparse.peak_memory_bytes,
        dense_round_ms=tuple(np.round(dense.round_median_ms, 4).tolist()),
        sparse_round_ms=tuple(np.round(sparse.round_median_ms, 4).tolist()),
        sparse_flops_share=record.sparse_flops_share,
        disturbed=record.disturbance.is_high,
        duration_s=round(duration_s, 2),
        created=record.created,
    )


def _baseline_identity(subject: Subject, setting: Setting) -> dict[str, Any]:
    return {
        "ir": subject.import_key(setting),
        "setting": asdict(setting),
        "tiles": asdict(subject.tiles),
        "code": code_fingerprint("measurement"),
    }
