"""What is known of the points and the dense builds of a study: predicted, and measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from tvm_sparse.tuning.machine import Ceilings
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.cost import Prediction
from tvm_sparse.whatif.grid import Point


@dataclass(frozen=True)
class Doubt:
    """Predictions that cannot be relied on.

    Attributes
    ----------
    setting : Setting
        Where.
    block_shape : str
        Of which block shape (`4x1`).
    reason : str
        What is odd about them, in words.
    """

    setting: Setting
    block_shape: str
    reason: str


@dataclass(frozen=True)
class Measurement:
    """What was measured of a point, its dense build taking turns with it.

    Attributes
    ----------
    latency_ms, dense_latency_ms : float
        In milliseconds, tenth percentiles of the rounds; see `BuildRecord.undisturbed_ms`.
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
        Share of the model's FLOPs that runs sparse, 0..1.
    disturbed : bool
        Whether something else kept the machine busy, see `bench.disturbance`.
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
    correction : float
        By what the predicted latency is multiplied, after the undisturbed measurements of the same
        block shape at the sparsities around.
    error : float or None
        Predicted over measured latency less 1; None if not measured. The prediction is first
        brought to the speed the machine had when the point was measured, which the dense build
        beside it tells.
    latency_ms, speedup, items_per_s : float
        Latency, speed-up over dense, and batch items per second: measured, or else predicted and
        corrected. What is shown and told of a point are these.
    """

    point: Point
    predicted: Prediction
    predicted_speedup: float
    measured: Measurement | None = None
    record: str | None = None
    why: str = ""
    correction: float = 1.0
    error: float | None = field(init=False)
    latency_ms: float = field(init=False)
    speedup: float = field(init=False)
    items_per_s: float = field(init=False)

    def __post_init__(self) -> None:
        found = self.measured
        error = found.speedup / self.predicted_speedup - 1 if found else None
        latency_ms = found.latency_ms if found else self.predicted.latency_ms * self.correction
        speedup = found.speedup if found else self.predicted_speedup / self.correction
        object.__setattr__(self, "error", error)
        object.__setattr__(self, "latency_ms", latency_ms)
        object.__setattr__(self, "speedup", speedup)
        object.__setattr__(self, "items_per_s", 1e3 * self.point.setting.batch / latency_ms)

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
    disorder : float
        By which factor fewer non-zeros seemed to take longer than more; 1 if they never did.
    """

    product: str
    calls: int
    block_shape: tuple[int, int]
    dense_ms: float
    densities: tuple[float, ...]
    latency_ms: tuple[float, ...]
    roofline_ms: tuple[float, ...]
    efficiency: tuple[float, ...]
    disorder: float = 1.0


@dataclass(frozen=True)
class SettingResult:
    """The dense build at one input shape and thread count.

    Attributes
    ----------
    setting : Setting
        Where.
    latency_ms : float
        Latency of the dense build, see `BuildRecord.undisturbed_ms`.
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
    disturbed : bool
        Whether something else kept the machine busy while the dense build was measured.
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
    disturbed: bool = False
