"""The other way to a faster model: INT8 in ONNX Runtime, measured on the same machine."""

from __future__ import annotations

from dataclasses import asdict

from tvm_sparse.bench.peers.checkpoint import write_checkpoint
from tvm_sparse.bench.peers.compare import compare, prepare_engines
from tvm_sparse.bench.peers.contender import own_build, peer
from tvm_sparse.bench.peers.engine import find_engines
from tvm_sparse.config import BenchSpec
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.progress import Progress, silent
from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.study import Alternative
from tvm_sparse.whatif.subject import Subject

_ENGINE = "onnxruntime-int8"
_REFERENCE = "TensorFlow"


def measured_int8(
    subject: Subject,
    records: Records,
    setting: Setting,
    bench: BenchSpec,
    progress: Progress = silent,
) -> Alternative:
    """Return what dynamic INT8 gives at a setting, our dense build taking turns with it.

    Parameters
    ----------
    subject : Subject
        The model.
    records : Records
        Keeps the measurement.
    setting : Setting
        Where.
    bench : BenchSpec
        How long each of the two.
    progress : callable
        Receives one line a step.
    """
    (engine,) = find_engines([_ENGINE])
    where = (engine.label, setting.seq_len, setting.batch, setting.threads)
    if missing := engine.missing():
        needs = f"needs {', '.join(missing)}: pip install 'tvm_sparse[peers]'"
        return Alternative(*where, "not installed", needs)
    identity = {
        "ir": subject.import_key(setting),
        "threads": setting.threads,
        "engine": [engine.name, engine.version],
        "bench": asdict(bench),
        "code": code_fingerprint("measurement"),
    }
    found = records.load("int8", identity, Alternative)
    if found is None:
        progress(f"measuring {engine.label}, {setting}")
        found = _measure(subject, setting, bench, progress)
        if found.status == "measured":
            records.save("int8", identity, found, {"model": asdict(subject.model_spec(setting))})
    return found


def _measure(
    subject: Subject, setting: Setting, bench: BenchSpec, progress: Progress
) -> Alternative:
    (engine,) = find_engines([_ENGINE])
    where = (engine.label, setting.seq_len, setting.batch, setting.threads)
    model, dense = subject.load(setting), subject.build_dense(setting)
    wanted = model.reference
    with temporary_directory() as folder:
        checkpoint = write_checkpoint(folder / "dense", model)
        failure = prepare_engines([engine], checkpoint, lambda line, _share: progress(line))
        if failure:
            return Alternative(*where, "failed", failure)
        ours, theirs = compare(
            [
                own_build(dense, wanted.inputs, wanted.outputs, _REFERENCE),
                peer(engine, checkpoint, wanted.inputs, wanted.outputs, _REFERENCE),
            ],
            setting.threads,
            bench,
            silent,
        )
    if ours.latency_ms is None or theirs.latency_ms is None:
        return Alternative(*where, "failed", theirs.detail or ours.detail)
    return Alternative(
        *where,
        "measured",
        f"version {theirs.version}",
        latency_ms=theirs.latency_ms.median,
        dense_ms=ours.latency_ms.median,
        speedup=ours.latency_ms.median / theirs.latency_ms.median,
        max_absolute_error=theirs.max_absolute_error,
    )
