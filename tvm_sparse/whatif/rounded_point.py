"""A build with products of 8 bits in a study: predicted, and measured if it was."""

from __future__ import annotations

from dataclasses import dataclass, field

from tvm_sparse.bench.output_error import OutputError
from tvm_sparse.formats.builds import BuildSpec, build_of
from tvm_sparse.sizes import block_name
from tvm_sparse.tuning.setting import Setting

BlockShape = tuple[int, int]
#: The blocks of a build in which nothing is sparse.
NO_BLOCKS: BlockShape = (0, 0)


@dataclass(frozen=True)
class MeasuredRounding:
    """What was measured of a build with products of 8 bits, the float32 dense one beside it.

    Attributes
    ----------
    latency_ms, speedup : float
        Tenth percentile of the rounds, and the dense build's over it.
    error : OutputError or None
        How far outputs are from the dense build's; None of a sparse build, which has other weights.
    disturbed : bool
        Whether something else kept the machine busy meanwhile.
    """

    latency_ms: float
    speedup: float
    error: OutputError | None
    disturbed: bool


@dataclass(frozen=True)
class RoundedPoint:
    """A build with products of 8 bits, at one place of the grid.

    Attributes
    ----------
    setting : Setting
        Where.
    scheme : str
        See `config.QuantizeScheme`.
    block_shape : (int, int)
        (bs_r, bs_c); (0, 0) for the dense build.
    sparsity : float
        Block sparsity, 0..1.
    predicted_ms, predicted_speedup : float
        By the cost model: latency, and the float32 dense build's over it.
    weights_bytes : int
        Weights in memory, predicted.
    measured : MeasuredRounding or None
        None when it was not measured.
    parts_ms : dict of str to float
        The predicted latency by part; empty where nobody asked.
    correction : float
        By what the predicted latency is multiplied after what was measured around it.
    """

    setting: Setting
    scheme: str
    block_shape: BlockShape
    sparsity: float
    predicted_ms: float
    predicted_speedup: float
    weights_bytes: int
    measured: MeasuredRounding | None = None
    parts_ms: dict[str, float] = field(default_factory=dict)
    correction: float = 1.0

    @property
    def expected_speedup(self) -> float:
        """The predicted one, corrected by what was measured around it."""
        return self.predicted_speedup / self.correction

    @property
    def speedup(self) -> float:
        """Over the float32 dense build: measured, or else predicted and corrected."""
        return self.measured.speedup if self.measured else self.expected_speedup

    @property
    def latency_ms(self) -> float:
        """In milliseconds: measured, or else predicted and corrected."""
        return self.measured.latency_ms if self.measured else self.predicted_ms * self.correction

    @property
    def error(self) -> float | None:
        """Of the prediction: the measured speed-up over the predicted one, less 1."""
        return self.measured.speedup / self.predicted_speedup - 1 if self.measured else None

    @property
    def build(self) -> BuildSpec:
        """Which build it is."""
        return build_of(self.block_shape != NO_BLOCKS, self.scheme)

    @property
    def label(self) -> str:
        """Its blocks in tables and charts: `4x4 INT8`."""
        return rounded_label(self.block_shape)

    @property
    def recipe(self) -> str:
        """What it is, in words."""
        if self.block_shape == NO_BLOCKS:
            return self.label
        return f"{100 * self.sparsity:.4g} % in {block_name(self.block_shape)} with INT8"


def rounded_label(block_shape: BlockShape) -> str:
    """Return what tables and charts call builds of 8 bits with blocks of a shape."""
    return f"{'dense' if block_shape == NO_BLOCKS else block_name(block_shape)} INT8"
