"""The other ways to a faster model: other engines, in INT8 too, measured on the same machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tvm_sparse.bench.peers.checkpoint import write_checkpoint
from tvm_sparse.bench.peers.compare import (
    OWN_REFERENCE,
    compare,
    prepare_engines,
    run_artifact,
)
from tvm_sparse.bench.peers.contender import own_build, peer
from tvm_sparse.bench.peers.engine import Engine, find_engines
from tvm_sparse.bench.peers.record import EngineResult
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.progress import Progress, silent
from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.study import Alternative
from tvm_sparse.whatif.subject import Subject


def measured_engines(
    subject: Subject,
    records: Records,
    setting: Setting,
    names: Sequence[str],
    bench: BenchSpec,
    progress: Progress = silent,
    again: bool = False,
) -> list[Alternative]:
    """Return what other engines give at a setting, our dense build taking turns with them.

    Parameters
    ----------
    subject : Subject
        The model.
    records : Records
        Keeps the measurements.
    setting : Setting
        Where.
    names : sequence of str
        Keys of `bench.peers.engine.ENGINES`.
    bench : BenchSpec
        How long each of them.
    progress : callable
        Receives one line a step.
    again : bool
        Measure engines again that something disturbed.

    Raises
    ------
    ConfigError
        There is no engine of a name.
    """
    engines = find_engines(names)
    found = {
        engine.name: _known(subject, records, setting, engine, bench, again) for engine in engines
    }
    if missing := [engine for engine in engines if found[engine.name] is None]:
        progress(f"measuring {', '.join(engine.label for engine in missing)}, {setting}")
        for engine, measured in zip(
            missing, _measure(subject, setting, missing, bench, progress), strict=True
        ):
            found[engine.name] = measured
            if measured.status == "measured":
                spec = {"model": asdict(subject.model_spec(setting))}
                identity = _identity(subject, setting, engine, bench)
                records.save("engine", identity, measured, spec)
    return [known for known in found.values() if known is not None]


def count_unmeasured(
    subject: Subject,
    records: Records,
    setting: Setting,
    names: Sequence[str],
    bench: BenchSpec,
    again: bool = False,
) -> int:
    """Return how many engines are left to be measured at a setting; see `measured_engines`."""
    known = [_known(subject, records, setting, one, bench, again) for one in find_engines(names)]
    return known.count(None)


def _known(
    subject: Subject,
    records: Records,
    setting: Setting,
    engine: Engine,
    bench: BenchSpec,
    again: bool,
) -> Alternative | None:
    """Return what is known of an engine without measuring it, None if that is left to do."""
    if missing := engine.missing():
        needs = f"needs {', '.join(missing)}: pip install 'tvm_sparse[peers]'"
        return Alternative(*_place(engine, setting), "not installed", needs)
    known = records.load("engine", _identity(subject, setting, engine, bench), Alternative)
    return None if known is not None and known.disturbed and again else known


def _identity(
    subject: Subject, setting: Setting, engine: Engine, bench: BenchSpec
) -> dict[str, Any]:
    return {
        "ir": subject.import_key(setting),
        "setting": asdict(setting),
        "engine": [engine.name, engine.version],
        "bench": asdict(bench),
        "code": code_fingerprint("measurement"),
    }


def _measure(
    subject: Subject,
    setting: Setting,
    engines: Sequence[Engine],
    bench: BenchSpec,
    progress: Progress,
) -> list[Alternative]:
    model, dense = subject.load(setting), subject.build_dense(setting)
    inputs, reference = subject.inputs(setting), model.reference.framework
    if setting.is_open:  # TensorFlow ran at other shapes, to which our build was compared
        outputs, reference = run_artifact(dense, inputs), OWN_REFERENCE
    else:
        outputs = model.reference.outputs
    with temporary_directory() as folder:
        checkpoint = write_checkpoint(folder / "dense", model, progress)
        failure = prepare_engines(engines, checkpoint, lambda line, _share: progress(line))
        if failure:
            return [Alternative(*_place(one, setting), "failed", failure) for one in engines]
        ours, *theirs = compare(
            [
                own_build(dense, inputs, outputs, reference),
                *(peer(engine, checkpoint, inputs, outputs, reference) for engine in engines),
            ],
            setting.threads,
            bench,
            silent,
        )
    return [
        _alternative(engine, setting, ours, result)
        for engine, result in zip(engines, theirs, strict=True)
    ]


def _alternative(
    engine: Engine, setting: Setting, ours: EngineResult, theirs: EngineResult
) -> Alternative:
    if ours.latency_ms is None or theirs.latency_ms is None:
        return Alternative(*_place(engine, setting), "failed", theirs.detail or ours.detail)
    # The tenth percentile, as of builds: a median tells how busy the machine was.
    return Alternative(
        *_place(engine, setting),
        "measured",
        f"version {theirs.version}",
        latency_ms=theirs.latency_ms.p10,
        dense_ms=ours.latency_ms.p10,
        speedup=ours.latency_ms.p10 / theirs.latency_ms.p10,
        max_absolute_error=theirs.max_absolute_error,
        disturbed=theirs.disturbance is not None and theirs.disturbance.is_high,
    )


def _place(engine: Engine, setting: Setting) -> tuple[str, int, int, int]:
    return engine.label, setting.seq_len, setting.batch, setting.threads
