"""What a report shows of a what-if study, taken from the study's JSON form."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tvm_sparse.analysis.layers import PARTS
from tvm_sparse.errors import ConfigError
from tvm_sparse.report.study_rows import Shape, StudyLayer, StudyRow
from tvm_sparse.report.table import describe_size
from tvm_sparse.whatif.study import SCHEMA_VERSION

#: Layers are shown at the sparsity of the grid next to this.
_LAYER_SPARSITY = 0.95
#: Answers that a reader must not miss are set apart from the others.
_WARNINGS = frozenset({"accuracy"})


@dataclass(frozen=True)
class StudyView:
    """What a report shows.

    Attributes
    ----------
    name, summary, command : str
        The model's name, a line on what was studied and where, and the command that repeats it.
    warnings, answers : tuple of str
        Sentences; the first are those that a reader must not miss.
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
    warnings: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    layers: tuple[StudyLayer, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    alternatives: tuple[dict[str, Any], ...] = ()
    refused: tuple[str, ...] = ()
    fidelity_meaning: str = ""


def view_of(study: Any) -> StudyView:
    """Return what a report shows of a study.

    Parameters
    ----------
    study : Study or mapping
        A study, or its JSON form.

    Raises
    ------
    ConfigError
        If it is no study, or one of another schema version.
    """
    document = study.to_json() if hasattr(study, "to_json") else study
    version = document.get("schema_version") if isinstance(document, Mapping) else None
    if version != SCHEMA_VERSION:
        raise ConfigError(
            f"a study of schema version {version} given, {SCHEMA_VERSION} is needed: "
            "run `tvm-sparse what-if` again"
        )
    try:
        return _view(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the study is not complete: {error!r}") from None


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


def _view(study: Mapping[str, Any]) -> StudyView:
    rows: list[StudyRow] = []
    layers: list[StudyLayer] = []
    for setting in study["settings"]:
        points = [point for point in study["points"] if _shape(point) == _shape(setting)]
        rows.append(_dense_row(setting))
        fidelity = study.get("fidelity") or {}
        for point in points:
            rows += _with_fidelity(_sparse_row(point, setting), fidelity)
        layers += _layers(setting, points)
    environment = study["environment"]
    measured = sum(point["measured"] is not None for point in study["points"])
    weights = study["weights"]
    return StudyView(
        name=str(study["model"].get("name", "the model")),
        summary=f"{len(study['points'])} builds predicted, {measured} of them measured, on "
        f"{environment['cpu_model']} ({environment['isa']}, {environment['cores']} cores), "
        f"{str(study['created'])[:16].replace('T', ' ')} UTC. "
        f"Weights: {weights.get('detail', weights.get('kind', 'of unknown origin'))}.",
        command=study["command"],
        rows=tuple(rows),
        warnings=_texts(study["answers"], warnings=True),
        answers=_texts(study["answers"], warnings=False),
        layers=tuple(layers),
        environment=_describe_environment(environment),
        alternatives=tuple(study["alternatives"]),
        refused=tuple(study["refused"]),
        fidelity_meaning=(study.get("fidelity") or {}).get("meaning", ""),
    )


def _texts(answers: Sequence[Mapping[str, Any]], warnings: bool) -> tuple[str, ...]:
    return tuple(answer["text"] for answer in answers if (answer["topic"] in _WARNINGS) == warnings)


def _describe_environment(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment under names a person reads."""

    def size(name: str) -> str:
        return describe_size(environment[name]) if environment[name] else "unknown"

    versions = environment["versions"]
    return {
        "CPU": environment["cpu_model"],
        "instruction set": environment["isa"],
        "cores": f"{environment['cores']}, of which {environment['threads']} were used",
        "caches": f"L1 {size('l1d_bytes')}, L2 {size('l2_bytes')}, L3 {size('l3_bytes')}",
        "memory": size("memory_bytes"),
        "frequency governor": environment["governor"] or "not told by the system",
        "load before the study": environment["load_average_1m"],
        "operating system": environment["os"],
        "Python": environment["python"],
        **{f"version of {name}": version for name, version in versions.items()},
    }


def _shape(entry: Mapping[str, Any]) -> Shape:
    return Shape(int(entry["batch"]), int(entry["seq_len"]), int(entry["threads"]))


def _dense_row(setting: Mapping[str, Any]) -> StudyRow:
    shape = _shape(setting)
    return StudyRow(
        batch=shape.batch,
        seq_len=shape.seq_len,
        threads=shape.threads,
        build="dense",
        block_shape="",
        sparsity=0.0,
        measured_ms=setting["latency_ms"],
        weights_bytes=setting["weights_bytes"],
        parts_from="measured",
        **_parts(setting["parts_ms"]),
    )


def _with_fidelity(row: StudyRow, fidelity: Mapping[str, Any]) -> list[StudyRow]:
    """Return a row for each method whose fidelity is known at its point, else the row alone."""
    found = [
        replace(row, method=known["method"], fidelity=known["fidelity"])
        for known in fidelity.get("points", ())
        if (known["block"], known["sparsity"]) == (row.block_shape, row.sparsity)
    ]
    return found or [row]


def _sparse_row(point: Mapping[str, Any], setting: Mapping[str, Any]) -> StudyRow:
    shape, predicted, measured = _shape(point), point["predicted"], point["measured"]
    by_measurement: dict[str, Any] = {}
    if measured is not None:
        by_measurement = {
            "measured_ms": measured["latency_ms"],
            "adjusted_ms": measured["dense_latency_ms"] / predicted["speedup"],
            "prediction_error": point["error"],
            "measured_speedup": measured["speedup"],
            "speedup_p10": measured["speedup_p10"],
            "speedup_p90": measured["speedup_p90"],
            "peak_memory_bytes": measured["peak_memory_bytes"],
            "disturbed": bool(measured["disturbed"]),
        }
    # A measured point without a profile has no parts of its own.
    source = measured if measured and measured["parts_ms"] else predicted
    return StudyRow(
        batch=shape.batch,
        seq_len=shape.seq_len,
        threads=shape.threads,
        build="sparse",
        block_shape=point["block"],
        sparsity=point["sparsity"],
        method=point.get("method", ""),
        predicted_ms=predicted["latency_ms"],
        predicted_speedup=predicted["speedup"],
        amdahl_limit=setting["amdahl_limit"].get(point["block"]),
        weights_bytes=(measured or predicted)["weights_bytes"],
        parts_from="measured" if source is measured else "predicted",
        fidelity=point.get("fidelity"),
        **_parts(source["parts_ms"]),
        **by_measurement,
    )


def _parts(parts_ms: Mapping[str, float]) -> dict[str, Any]:
    return {f"{name}_ms": parts_ms[name] for name in PARTS if name in parts_ms}


def _layers(setting: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> list[StudyLayer]:
    by_block: dict[str, Mapping[str, Any]] = {}
    for point in points:
        best = by_block.get(point["block"])
        if best is None or _from_shown(point) < _from_shown(best):
            by_block[point["block"]] = point
    found = []
    for layer in setting["layers"]:
        product = layer["product"]
        times = {
            f"{block} at {100 * point['sparsity']:.4g}%": point["predicted"]["products_ms"]
            for block, point in by_block.items()
        }
        stays_dense = layer.get("stays_dense", {})
        found.append(
            StudyLayer(
                shape=_shape(setting),
                layer=layer["layer"],
                kernel=layer["kernel"],
                dense_ms=layer["latency_ms"],
                share=layer["latency_ms"] / setting["latency_ms"],
                sparse_ms={name: ms[product] for name, ms in times.items() if product in ms},
                stays_dense=dict(stays_dense),
            )
        )
    return found


def _from_shown(point: Mapping[str, Any]) -> float:
    return abs(float(point["sparsity"]) - _LAYER_SPARSITY)
