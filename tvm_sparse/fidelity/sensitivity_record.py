"""The record of a sensitivity analysis; free of TVM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tvm_sparse.sparsity.allocation import LossCurve


@dataclass(frozen=True)
class LayerSensitivity:
    """What pruning one layer does to the model.

    Attributes
    ----------
    blocks, flops
        Number of its blocks, and floating-point operations of one inference when dense.
    sparsities, losses, measures
        Block sparsities; the loss of fidelity at each, see `views.compare`, and the task's main
        measure.
    """

    weight: str
    blocks: int
    flops: int
    sparsities: tuple[float, ...]
    losses: tuple[float, ...]
    measures: tuple[float, ...]

    @property
    def curve(self) -> LossCurve:
        """The loss as `allocation.allocate` takes it."""
        return LossCurve(self.weight, self.blocks, self.sparsities, self.losses)


@dataclass(frozen=True)
class Sensitivity:
    """The sensitivities of a model's layers, in its order.

    Attributes
    ----------
    task, measure
        What the model is for, and the name of the main measure.
    block_shape, method
        Blocks (bs_r, bs_c) that were pruned, and how they were chosen.
    texts, seq_len
        What it was measured on.
    """

    schema_version: Literal[2] = field(default=2, kw_only=True)
    task: str
    measure: str
    block_shape: tuple[int, int]
    method: str
    texts: int
    seq_len: int
    layers: tuple[LayerSensitivity, ...]
