"""What a report shows of a what-if study."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tvm_sparse.bench.environment import Environment
from tvm_sparse.formats.builds import DENSE, SPARSE
from tvm_sparse.kernel_facts import PARTS
from tvm_sparse.report.figures import describe_size
from tvm_sparse.report.study_rows import Shape, StudyLayer, StudyRow
from tvm_sparse.sizes import block_name
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.point_results import PointResult, SettingResult
from tvm_sparse.whatif.rounded_point import RoundedPoint
from tvm_sparse.whatif.study import FidelityPoint, Study
from tvm_sparse.whatif.verdict import Verdict, verdict_of
from tvm_sparse.words import counted

#: Layers are shown at the sparsity of the grid next to this.
_LAYER_SPARSITY = 0.95
#: Answers that have a place of their own.
_APART = frozenset({"reliability", "verdict"})


@dataclass(frozen=True)
class StudyView:
    """What a report shows.

    Attributes
    ----------
    name, summary, command : str
        The model's name, a line on what was studied and where, and the command that repeats it.
    unreliable : str
        What of the study cannot be relied on; empty if all can.
    warnings, answers : tuple of str
        Sentences; the first are those that a reader must not miss.
    verdict : Verdict or None
        One line, its caveats, and what builds cost.
    rows : tuple of StudyRow
        All builds: for each shape the dense one, then the points.
    layers : tuple of StudyLayer
        The products of the dense builds.
    environment : dict
        Names and values.
    alternatives : tuple of dict
        What other engines give.
    refused : tuple of str
        Records that were left out, and why.
    fidelity_meaning : str
        What the fidelity is, if there is one.
    """

    name: str
    summary: str
    command: str
    rows: tuple[StudyRow, ...]
    verdict: Verdict | None = None
    unreliable: str = ""
    warnings: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    layers: tuple[StudyLayer, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    alternatives: tuple[dict[str, Any], ...] = ()
    refused: tuple[str, ...] = ()
    fidelity_meaning: str = ""

    @property
    def caveats(self) -> list[str]:
        """What has to be known with the verdict, but for what is said elsewhere anyway."""
        told = {self.unreliable, *self.warnings, *self.answers}
        return [text for text in self.verdict.caveats if text not in told] if self.verdict else []


def view_of(study: Study) -> StudyView:
    """Return what a report shows of a study."""
    rows: list[StudyRow] = []
    layers: list[StudyLayer] = []
    fidelity = study.fidelity.points if study.fidelity else ()
    for setting in study.settings:
        points = [point for point in study.points if point.point.setting == setting.setting]
        doubted = {d.block_shape for d in study.doubts if d.setting == setting.setting}
        rows.append(_dense_row(setting))
        for point in points:
            row = _sparse_row(point, setting)
            row = replace(row, doubted=row.block_shape in doubted)
            rows += _with_fidelity(row, fidelity)
        for rounded in study.rounded:
            if rounded.setting == setting.setting:
                rows += _with_fidelity(_rounded_row(rounded), fidelity)
        layers += _layers(setting, points)
    environment = study.environment
    # Where no fidelity is known, that nothing is known of accuracy must not be missed.
    missed = () if study.fidelity else ("accuracy",)
    measured = sum(point.measured is not None for point in study.points)
    return StudyView(
        name=study.model.name,
        summary=f"{counted(len(study.points), 'point')} predicted, {measured} of them measured, "
        f"{study.builds}, on "
        f"{environment.cpu_model} ({environment.isa}, {environment.cores} cores), "
        f"{study.created[:16].replace('T', ' ')} UTC. "
        f"Weights: {study.weights}.",
        command=study.command,
        rows=tuple(rows),
        verdict=verdict_of(study),
        unreliable=" ".join(a.text for a in study.answers if a.topic == "reliability"),
        warnings=tuple(a.text for a in study.answers if a.topic in missed),
        answers=tuple(a.text for a in study.answers if a.topic not in {*missed, *_APART}),
        layers=tuple(layers),
        environment=_describe_environment(environment),
        alternatives=tuple(asdict(one) for one in study.alternatives),
        refused=study.refused,
        fidelity_meaning=study.fidelity.meaning if study.fidelity else "",
    )


def layers_csv(layers: Sequence[StudyLayer]) -> str:
    """Return the products as CSV, one line each."""
    columns = list(dict.fromkeys(name for layer in layers for name in layer.sparse_ms))
    blocks = list(dict.fromkeys(name for layer in layers for name in layer.stays_dense))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["batch", "seq_len", "threads", "layer", "kernel", "dense_ms", "share"]
        + [f"predicted_ms {name}" for name in columns]
        + [f"stays_dense {block}" for block in blocks]
    )
    for layer in layers:
        shape = layer.shape
        writer.writerow(
            [shape.batch, shape.seq_len, shape.threads, layer.layer, layer.kernel]
            + [layer.dense_ms, layer.share]
            + [layer.sparse_ms.get(name) for name in columns]
            + [layer.stays_dense.get(block, "") for block in blocks]
        )
    return stream.getvalue()


def _describe_environment(environment: Environment) -> dict[str, Any]:
    """Return the environment under names a person reads."""

    def size(size_bytes: int) -> str:
        return describe_size(size_bytes) if size_bytes else "unknown"

    caches = (environment.l1d_bytes, environment.l2_bytes, environment.l3_bytes)
    versions = environment.versions
    return {
        "CPU": environment.cpu_model,
        "instruction set": environment.isa,
        "cores": f"{environment.cores}, of which {environment.threads} were used",
        "caches": ", ".join(f"L{level} {size(one)}" for level, one in enumerate(caches, 1)),
        "memory": size(environment.memory_bytes),
        "frequency governor": environment.governor or "not told by the system",
        "load before the study": environment.load_average_1m,
        "operating system": environment.os,
        "Python": environment.python,
        **{f"version of {name}": version for name, version in versions.items()},
    }


def _shape(setting: Setting) -> Shape:
    return Shape(setting.batch, setting.seq_len, setting.threads)


def _dense_row(found: SettingResult) -> StudyRow:
    return StudyRow(
        **asdict(_shape(found.setting)),
        build=DENSE.name,
        block_shape="",
        sparsity=0.0,
        latency_ms=found.latency_ms,
        speedup=1.0,
        measured_ms=found.latency_ms,
        disturbed=found.disturbed,
        weights_bytes=found.weights_bytes,
        parts_from="measured",
        **_parts(found.parts_ms),
    )


def _with_fidelity(row: StudyRow, fidelity: Sequence[FidelityPoint]) -> list[StudyRow]:
    """Return a row for each method whose fidelity is known at its point, else the row alone."""
    found = [
        replace(row, method=known.method, fidelity=known.fidelity)
        for known in fidelity
        if (known.block, known.sparsity) == (row.block_shape, row.sparsity)
    ]
    return found or [row]


def _sparse_row(result: PointResult, setting: SettingResult) -> StudyRow:
    point, predicted, measured = result.point, result.predicted, result.measured
    block = block_name(point.block_shape)
    by_measurement: dict[str, Any] = {}
    if measured is not None:
        by_measurement = {
            "measured_ms": measured.latency_ms,
            "adjusted_ms": measured.dense_latency_ms / result.predicted_speedup,
            "prediction_error": result.error,
            "measured_speedup": measured.speedup,
            "speedup_p10": measured.speedup_p10,
            "speedup_p90": measured.speedup_p90,
            "peak_memory_bytes": measured.peak_memory_bytes,
            "disturbed": measured.disturbed,
        }
    # A measured point without a profile has no parts of its own.
    source = measured if measured and measured.parts_ms else predicted
    return StudyRow(
        **asdict(_shape(point.setting)),
        build=SPARSE.name,
        block_shape=block,
        sparsity=point.sparsity,
        latency_ms=result.latency_ms,
        speedup=result.speedup,
        predicted_ms=predicted.latency_ms,
        predicted_speedup=result.predicted_speedup,
        expected_speedup=result.predicted_speedup / result.correction,
        amdahl_limit=setting.amdahl_limit.get(block),
        weights_bytes=result.weights_bytes,
        parts_from="measured" if source is measured else "predicted",
        **_parts(source.parts_ms),
        **by_measurement,
    )


def _rounded_row(point: RoundedPoint) -> StudyRow:
    measured = point.measured
    by_measurement: dict[str, Any] = {}
    if measured is not None:
        by_measurement = {
            "measured_ms": measured.latency_ms,
            "adjusted_ms": measured.latency_ms * measured.speedup / point.predicted_speedup,
            "prediction_error": point.error,
            "measured_speedup": measured.speedup,
            "disturbed": measured.disturbed,
        }
    return StudyRow(
        **asdict(_shape(point.setting)),
        build=point.build.name,
        block_shape=point.label,
        sparsity=point.sparsity,
        latency_ms=point.latency_ms,
        speedup=point.speedup,
        predicted_ms=point.predicted_ms,
        predicted_speedup=point.predicted_speedup,
        expected_speedup=point.expected_speedup,
        weights_bytes=point.weights_bytes,
        parts_from="predicted" if point.parts_ms else "",
        **_parts(point.parts_ms),
        **by_measurement,
    )


def _parts(parts_ms: Mapping[str, float]) -> dict[str, Any]:
    return {f"{name}_ms": parts_ms[name] for name in PARTS if name in parts_ms}


def _layers(setting: SettingResult, points: Sequence[PointResult]) -> list[StudyLayer]:
    by_block: dict[str, PointResult] = {}
    for result in points:
        block = block_name(result.point.block_shape)
        if block not in by_block or _from_shown(result) < _from_shown(by_block[block]):
            by_block[block] = result
    times = {
        f"{block} at {100 * result.point.sparsity:.4g}%": result.predicted.products_ms
        for block, result in by_block.items()
    }
    return [
        StudyLayer(
            shape=_shape(setting.setting),
            layer=call.layer,
            kernel=call.kernel,
            dense_ms=call.latency_ms,
            share=call.latency_ms / setting.latency_ms,
            sparse_ms={n: ms[call.kernel] for n, ms in times.items() if call.kernel in ms},
            stays_dense=call.stays_dense,
        )
        for call in setting.layers
    ]


def _from_shown(result: PointResult) -> float:
    return abs(result.point.sparsity - _LAYER_SPARSITY)
