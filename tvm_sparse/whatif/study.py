"""The record of a study: what was asked, predicted and measured, on which machine.

Described in docs/what-if.md; a change of its form needs a new `schema_version`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tvm_sparse.bench.environment import Environment
from tvm_sparse.errors import ConfigError
from tvm_sparse.model.facts import ModelDescription, WeightsFacts
from tvm_sparse.records.read import read_record
from tvm_sparse.tuning.machine import Ceilings
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.cost import Prediction
from tvm_sparse.whatif.grid import Mode, Point, Targets


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
    error : float or None
        Predicted over measured latency less 1; None if not measured. The prediction is first
        brought to the speed the machine had when the point was measured, which the dense build
        beside it tells.
    items_per_s : float
        Batch items per second, measured or else predicted.
    """

    point: Point
    predicted: Prediction
    predicted_speedup: float
    measured: Measurement | None = None
    record: str | None = None
    why: str = ""
    error: float | None = field(init=False)
    items_per_s: float = field(init=False)

    def __post_init__(self) -> None:
        found = self.measured
        error = found.speedup / self.predicted_speedup - 1 if found else None
        object.__setattr__(self, "error", error)
        object.__setattr__(self, "items_per_s", 1e3 * self.point.setting.batch / self.latency_ms)

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


@dataclass(frozen=True)
class ProductCall:
    """One kernel call of a product in a dense build.

    Attributes
    ----------
    layer, kernel : str
        The layers it works for, and the kernel's name, which is its product's in predictions.
    latency_ms : float
        Its time.
    stays_dense : dict of str to str
        By block shape (`4x1`) why it stays dense; empty texts if it would not.
    """

    layer: str
    kernel: str
    latency_ms: float
    stays_dense: dict[str, str]


@dataclass(frozen=True)
class KernelEfficiency:
    """Times of one sparse kernel, and what the machine's roofline allows.

    Attributes
    ----------
    product : str
        Name of the product.
    calls : int
        Calls of an inference.
    block_shape : (int, int)
        (bs_r, bs_c).
    dense_ms : float
        Time of one call of the dense kernel in the model.
    densities, latency_ms : tuple of float
        Shares of non-zero blocks 0..1, and the time of a call at each.
    roofline_ms, efficiency : tuple of float
        The least time the machine could take, and its share of the time, 0..1.
    """

    product: str
    calls: int
    block_shape: tuple[int, int]
    dense_ms: float
    densities: tuple[float, ...]
    latency_ms: tuple[float, ...]
    roofline_ms: tuple[float, ...]
    efficiency: tuple[float, ...]


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
    layers : tuple of ProductCall
        Its products, in order.
    kernels : tuple of KernelEfficiency
        The sparse kernels.
    machine : Ceilings
        What this machine does at most with so many threads.
    """

    setting: Setting
    latency_ms: float
    weights_bytes: int
    parts_ms: dict[str, float]
    sparse_products_ms: dict[str, float]
    amdahl_limit: dict[str, float | None]
    layers: tuple[ProductCall, ...]
    kernels: tuple[KernelEfficiency, ...]
    machine: Ceilings


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
class FidelityPoint:
    """What real pruning costs at one point.

    Attributes
    ----------
    method, block : str
        How the zeros were chosen, and the block shape (`4x1`).
    sparsity : float
        Block sparsity, 0..1.
    fidelity : float or None
        The main measure; None where texts do not tell it.
    measures : dict of str to float
        All measures, see `fidelity.views`.
    """

    method: str
    block: str
    sparsity: float
    fidelity: float | None
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyFidelity:
    """What real pruning costs at the points' sparsities.

    Attributes
    ----------
    measure, meaning : str
        Name of the main measure, and what it is, in words.
    points : tuple of FidelityPoint
        By method, block shape and sparsity.
    """

    measure: str
    meaning: str
    points: tuple[FidelityPoint, ...]


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
    model : ModelDescription
        Which model.
    weights : WeightsFacts
        Where its weights come from.
    spec : dict
        Model spec, and how points become sparse.
    grid, targets : dict, Targets
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
    fidelity : StudyFidelity or None
        What real pruning costs; None if nobody asked.
    """

    schema_version: Literal[2] = field(default=2, kw_only=True)
    created: str
    command: str
    mode: Mode
    model: ModelDescription
    weights: WeightsFacts
    spec: dict[str, Any]
    grid: dict[str, Any]
    targets: Targets
    environment: Environment
    settings: tuple[SettingResult, ...]
    points: tuple[PointResult, ...]
    answers: tuple[Answer, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    refused: tuple[str, ...] = ()
    fidelity: StudyFidelity | None = None


def load_study(path: str | Path) -> Study:
    """Read a study that `tvm-sparse what-if --json` wrote.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no study of this schema version.
    """
    advice = "give a file that `tvm-sparse what-if` of this version wrote"
    return read_record(path, Study, ConfigError, advice)
