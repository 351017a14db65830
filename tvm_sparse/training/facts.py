"""How a training went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingFacts:
    """How a training went.

    Attributes
    ----------
    steps, resumed_at
        Updates made, and how many of them before it was last resumed.
    losses
        Step, and mean training loss since the one before.
    held_out_loss_before, held_out_loss_after
        Loss on the texts held out.
    seconds
        Time it took, since it was last resumed.
    spec
        Fields of `DistillSpec`.
    """

    steps: int
    resumed_at: int
    losses: tuple[tuple[int, float], ...]
    held_out_loss_before: float
    held_out_loss_after: float
    seconds: float
    spec: dict[str, Any]
