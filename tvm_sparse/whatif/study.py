"""The record of a study: what was asked, predicted and measured, on which machine.

JSON by `to_json`, described in docs/what-if.md; a change of its form needs a new `SCHEMA_VERSION`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tvm_sparse.analysis.layers import block_name
from tvm_sparse.bench.environment import Environment
from tvm_sparse.errors import ConfigError
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.cost import Prediction
from tvm_sparse.whatif.grid import Point

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Measurement:
    """What was measured of a point, its dense build taking turns with it.

    Attributes
    ----------
    latency_ms, dense_latency_ms : float
        In milliseconds, tenth percentiles of the rounds; see `baseline.undisturbed_ms`.
    speedup : float
        Dense over sparse.
    speedup_p10, speedup_p90 : float
        Percentiles of that ratio over paired rounds.
    parts_ms : dict of str to float
        Time by part, from a profile.
    weights_bytes, size_on_disk_bytes, peak_memory_bytes : int
        Weights in memory, `model.so`, and largest resident memory of the process.
    dense_round_ms, sparse_round_ms : tuple of float
        Median of each round; round i of one ran next to round i of the other.
    sparse_flops_share : float
        Share of the dense layers' FLOPs that runs sparse, 0..1.
    disturbed : bool
        Whether something else kept the machine busy: the runs differ too much from each other.
    duration_s : float
        Seconds that building and measuring took.
    created : str
        ISO 8601 in UTC.
    """

    latency_ms: float
    dense_latency_ms: float
    speedup: float
    speedup_p10: float
    speedup_p90: float
    parts_ms: dict[str, float]
    weights_bytes: int
    size_on_disk_bytes: int
    peak_memory_bytes: int
    dense_round_ms: tuple[float, ...]
    sparse_round_ms: tuple[float, ...]
    sparse_flops_share: float
    disturbed: bool
    duration_s: float
    created: str


@dataclass(frozen=True)
class PointResult:
    """One point of the grid: predicted, and measured if it was.

    Attributes
    ----------
    point : Point
        Where.
    predicted : Prediction
        By the cost model.
    predicted_speedup : float
        Dense latency, as the prediction starts from, over the predicted one.
    measured : Measurement or None
        None when it was not measured.
    record : str or None
        Key of the measurement in the cache.
    why : str
        Why the point was chosen to be measured; empty if it was not.
    """

    point: Point
    predicted: Prediction
    predicted_speedup: float
    measured: Measurement | None = None
    record: str | None = None
    why: str = ""

    @property
    def error(self) -> float | None:
        """Predicted over measured latency less 1; None if not measured.

        The prediction is first brought to the speed the machine had when the point was measured,
        which the dense build beside it tells.
        """
        if self.measured is None:
            return None
        return self.measured.speedup / self.predicted_speedup - 1

    @property
    def latency_ms(self) -> float:
        """The measured latency, else the predicted one."""
        return self.measured.latency_ms if self.measured else self.predicted.latency_ms

    @property
    def speedup(self) -> float:
        """The measured speed-up over dense, else the predicted one."""
        return self.measured.speedup if self.measured else self.predicted_speedup

    @property
    def weights_bytes(self) -> int:
        """Weights in memory, measured or else predicted."""
        return self.measured.weights_bytes if self.measured else self.predicted.weights_bytes

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON-ready values."""
        setting = self.point.setting
        return {
            "sparsity": self.point.sparsity,
            "block_shape": list(self.point.block_shape),
            "block": block_name(self.point.block_shape),
            "seq_len": setting.seq_len,
            "batch": setting.batch,
            "threads": setting.threads,
            "predicted": {
                **asdict(self.predicted),
                "speedup": self.predicted_speedup,
                "items_per_s": _items_per_s(setting, self.predicted.latency_ms),
            },
            "measured": None
            if self.measured is None
            else {
                **asdict(self.measured),
                "items_per_s": _items_per_s(setting, self.measured.latency_ms),
                "record": self.record,
            },
            "error": self.error,
            "why": self.why,
        }


@dataclass(frozen=True)
class SettingResult:
    """The dense build at one input shape and thread count.

    Attributes
    ----------
    setting : Setting
        Where.
    latency_ms : float
        Latency of the dense build, see `baseline.undisturbed_ms`.
    weights_bytes : int
        Its weights in memory.
    parts_ms : dict of str to float
        Its time by part.
    sparse_products_ms : dict of str to float
        By block shape (`4x1`): how much of it are products that could run sparse.
    amdahl_limit : dict of str to (float or None)
        By block shape: the speed-up if those took no time; None without bound.
    layers : tuple of dict
        One per kernel call of a product: layer, kernel, latency_ms, and by block shape why it
        stays dense (empty text if it would not).
    kernels : tuple of dict
        Times and roofline efficiency of the sparse kernels, by density.
    machine : dict
        What this machine does at most with so many threads.
    """

    setting: Setting
    latency_ms: float
    weights_bytes: int
    parts_ms: dict[str, float]
    sparse_products_ms: dict[str, float]
    amdahl_limit: dict[str, float | None]
    layers: tuple[dict[str, Any], ...]
    kernels: tuple[dict[str, Any], ...]
    machine: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON-ready values."""
        values = asdict(self)
        return {**values.pop("setting"), **values}


@dataclass(frozen=True)
class Answer:
    """One answer in plain words.

    Attributes
    ----------
    topic : str
        What it answers: break_even, target, best_block, memory, accuracy, int8, prediction.
    text : str
        One or two sentences.
    facts : dict
        The numbers behind them.
    """

    topic: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Alternative:
    """Another way to a faster model, measured beside the dense build.

    Attributes
    ----------
    engine : str
        Its name, for tables.
    seq_len, batch, threads : int
        Where.
    status : {"measured", "not installed", "failed"}
        Whether there is something to tell.
    detail : str
        Its version, or why it was not measured.
    latency_ms, dense_ms, speedup : float or None
        Median latencies of it and of our dense build, and their ratio; None if not measured.
    max_absolute_error : float or None
        Largest difference of its outputs from TensorFlow's.
    """

    engine: str
    seq_len: int
    batch: int
    threads: int
    status: Literal["measured", "not installed", "failed"]
    detail: str
    latency_ms: float | None = None
    dense_ms: float | None = None
    speedup: float | None = None
    max_absolute_error: float | None = None


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes
    ----------
    created : str
        ISO 8601 in UTC.
    command : str
        The command that repeats it.
    mode : {"decide", "predict", "measure"}
        Whether the points that decide, none, or all were measured.
    model, weights : dict
        As in an artifact's metadata.
    spec : dict
        Model spec, and how points become sparse.
    grid, targets : dict
        What was asked.
    environment : Environment
        Where it ran; its `threads` is the largest number used.
    settings : tuple of SettingResult
        Dense builds.
    points : tuple of PointResult
        The whole grid.
    answers : tuple of Answer
        In the order to read them.
    alternatives : tuple of Alternative
        Other ways to the same end that were measured here: INT8 in another engine.
    refused : tuple of str
        Records that were left out, and why.
    fidelity : dict
        What real pruning at the points' sparsities costs, see `fidelity.add_fidelity`; empty if
        nobody asked.
    """

    created: str
    command: str
    mode: str
    model: dict[str, Any]
    weights: dict[str, Any]
    spec: dict[str, Any]
    grid: dict[str, Any]
    targets: dict[str, Any]
    environment: Environment
    settings: tuple[SettingResult, ...]
    points: tuple[PointResult, ...]
    answers: tuple[Answer, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    refused: tuple[str, ...] = ()
    fidelity: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        """Return the study as JSON-ready values, the schema version first."""
        return {
            "schema_version": self.schema_version,
            **{
                name: getattr(self, name)
                for name in ("created", "command", "mode", "model", "weights", "spec", "grid")
            },
            "targets": self.targets,
            "environment": asdict(self.environment),
            "settings": [setting.to_json() for setting in self.settings],
            "points": [point.to_json() for point in self.points],
            "answers": [asdict(answer) for answer in self.answers],
            "alternatives": [asdict(one) for one in self.alternatives],
            "refused": list(self.refused),
            "fidelity": self.fidelity,
        }


def load_study(path: str | Path) -> dict[str, Any]:
    """Read a study as its JSON document, which is what reports are made from.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no study of this schema version.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}") from None
    found = document.get("schema_version") if isinstance(document, dict) else None
    if found != SCHEMA_VERSION or "points" not in document:
        raise ConfigError(
            f"{path} is no study of schema version {SCHEMA_VERSION}: "
            "give a file that `tvm-sparse what-if` of this version wrote"
        )
    return dict(document)


def _items_per_s(setting: Setting, latency_ms: float) -> float:
    return setting.batch / (latency_ms / 1e3)
