"""Latency over sparsity at one setting: predicted, and bent to what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tvm_sparse.sizes import block_name
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.cost import corrected
from tvm_sparse.whatif.doubts import find_doubts, tellable
from tvm_sparse.whatif.point_results import Doubt, PointResult, SettingResult
from tvm_sparse.whatif.predict import Predictor

BlockShape = tuple[int, int]


@dataclass(frozen=True)
class Curves:
    """What is known of one setting: latency over sparsity, for every block shape.

    Attributes
    ----------
    dense : SettingResult
        The dense build.
    predictors : mapping of (int, int) to Predictor
        By block shape.
    results : sequence of PointResult
        The setting's points.
    doubts : list of Doubt
        Those of its predictions that cannot be relied on.
    """

    dense: SettingResult
    predictors: Mapping[BlockShape, Predictor]
    results: Sequence[PointResult]
    doubts: list[Doubt] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubts", find_doubts(self.dense, self.results))

    @property
    def setting(self) -> Setting:
        """Where."""
        return self.dense.setting

    @property
    def dense_ms(self) -> float:
        """Latency of the dense build."""
        return self.dense.latency_ms

    @property
    def trusted(self) -> list[BlockShape]:
        """The block shapes whose predictions can be relied on."""
        doubted = {doubt.block_shape for doubt in self.doubts}
        return [shape for shape in self.predictors if block_name(shape) not in doubted]

    @property
    def tellable(self) -> list[PointResult]:
        """The points whose speeds can be told."""
        return tellable(self.results, self.doubts)

    def latency(self, block_shape: BlockShape) -> Callable[[float], float]:
        """Return latency in milliseconds by sparsity, bent to what was measured.

        A measured point enters by its speed-up, so that all stand beside one dense latency.
        """
        speedups = {
            result.point.sparsity: result.measured.speedup
            for result in self.results
            if result.point.block_shape == block_shape
            and result.measured is not None
            and not result.measured.disturbed
        }
        return corrected(self.predictors[block_shape].model, speedups)
