"""The record of a sensitivity analysis; free of TVM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tvm_sparse.sparsity.allocation import LossCurve


@dataclass(frozen=True)
class LayerSensitivity:
    """What pruning one layer, or one group of layers, does to the model.

    Attributes
    ----------
    weights : tuple of str
        The layers' weights.
    blocks, flops : int
        Number of their blocks, and floating-point operations of one inference when dense.
    sparsities, losses : tuple of float
        Block sparsities, and the loss of fidelity at each, see `views.compare`.
    measures : tuple of float
        The task's main measure at each.
    saved_ms : tuple of (float or None)
        Time saved at each, in milliseconds; None where nothing predicts it.
    """

    weights: tuple[str, ...]
    blocks: int
    flops: int
    sparsities: tuple[float, ...]
    losses: tuple[float, ...]
    measures: tuple[float, ...]
    saved_ms: tuple[float | None, ...] = ()

    @property
    def curve(self) -> LossCurve:
        """The loss as `allocation.allocate` takes it."""
        return LossCurve("|".join(self.weights), self.blocks, self.sparsities, self.losses)


@dataclass(frozen=True)
class Sensitivity:
    """The sensitivities of a model's layers.

    Attributes
    ----------
    task, measure : str
        What the model is for, and the name of the main measure.
    block_shape : (int, int)
        Blocks (bs_r, bs_c) that were pruned.
    method : str
        How they were chosen.
    texts, seq_len : int
        What it was measured on.
    layers : tuple of LayerSensitivity
        In the order of the model.
    """

    schema_version: Literal[1] = field(default=1, kw_only=True)
    task: str
    measure: str
    block_shape: tuple[int, int]
    method: str
    texts: int
    seq_len: int
    layers: tuple[LayerSensitivity, ...]
