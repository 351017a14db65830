"""What a framework does of a training; which texts when, and the rest, is the same for all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from tvm_sparse.training.state import TrainingState

#: Adam's decay rates and guard: its authors' values.
FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8
#: Gradients are scaled to at most this norm: the first steps after hard pruning are steep.
CLIP_NORM = 1.0


class Training(ABC):
    """A pruned model, the dense one, and the state of training the first against the second.

    Everything is trained but the embeddings, by Adam; zeros of the weights that were pruned stay
    zero. The learning rate falls to zero in a straight line.
    """

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays of a checkpoint."""

    @abstractmethod
    def save(self, state: TrainingState) -> None:
        """Copy weights and moments into a state."""

    @abstractmethod
    def restore(self, state: TrainingState) -> None:
        """Go on from a state."""

    @abstractmethod
    def loss(self, features: Mapping[str, np.ndarray]) -> float:
        """Return the distance of the two models on inputs by name, int32 (batch, seq_len)."""

    @abstractmethod
    def update(self, features: Mapping[str, np.ndarray]) -> float:
        """Make one step, and return the distance before it."""

    @abstractmethod
    def params(self) -> dict[str, np.ndarray]:
        """Return the pruned model's weights by the names an import gives them."""
