"""Latency over sparsity at one setting: predicted, and bent to what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.cost import corrected
from tvm_sparse.whatif.point_results import PointResult
from tvm_sparse.whatif.predict import Predictor

BlockShape = tuple[int, int]


@dataclass(frozen=True)
class Curves:
    """What is known of one setting: latency over sparsity, for every block shape.

    Attributes
    ----------
    setting : Setting
        Where.
    dense_ms : float
        Latency of the dense build.
    predictors : mapping of (int, int) to Predictor
        By block shape.
    results : sequence of PointResult
        The setting's points.
    disturbed : bool
        Whether something kept the machine busy while the dense build was measured.
    """

    setting: Setting
    dense_ms: float
    predictors: Mapping[BlockShape, Predictor]
    results: Sequence[PointResult]
    disturbed: bool = False

    def latency(self, block_shape: BlockShape) -> Callable[[float], float]:
        """Return latency in milliseconds by sparsity, bent to what was measured.

        A measured point enters by its speed-up, so that all stand beside one dense latency.
        """
        measured = {
            result.point.sparsity: self.dense_ms / result.measured.speedup
            for result in self.of(block_shape)
            if result.measured is not None and not result.measured.disturbed
        }
        return corrected(self.predictors[block_shape].model.latency_ms, measured)

    def of(self, block_shape: BlockShape) -> list[PointResult]:
        """Return the points of one block shape, by sparsity."""
        found = [r for r in self.results if r.point.block_shape == block_shape]
        return sorted(found, key=lambda result: result.point.sparsity)
