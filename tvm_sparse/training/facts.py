"""How a training went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingFacts:
    """How a training went.

    Attributes
    ----------
    steps, resumed_at : int
        Updates made, and how many of them before it was last resumed.
    losses : tuple of (int, float)
        Step, and mean training loss since the one before.
    held_out_loss_before, held_out_loss_after : float
        Loss on the texts held out.
    seconds : float
        Time it took, since it was last resumed.
    spec : dict
        Fields of `DistillSpec`.
    """

    steps: int
    resumed_at: int
    losses: tuple[tuple[int, float], ...]
    held_out_loss_before: float
    held_out_loss_after: float
    seconds: float
    spec: dict[str, Any]
