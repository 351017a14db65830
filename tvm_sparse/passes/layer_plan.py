"""What was decided of layers before a module is lowered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tvm_sparse.model.quantization import Quantization
from tvm_sparse.sparsity.decision import LayerChoice


@dataclass(frozen=True)
class LayerPlan:
    """Which layers run sparse, and which with 8 bits and how.

    Attributes
    ----------
    choices : mapping of str to LayerChoice, optional
        Which layers run sparse, where times decided and not the threshold.
    quantization : Quantization, optional
        How a build of 8 bits rounds the layers.
    """

    choices: Mapping[str, LayerChoice] | None = None
    quantization: Quantization | None = None


#: Nothing was decided.
NO_PLAN = LayerPlan()
