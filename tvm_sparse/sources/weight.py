"""A weight of a checkpoint, read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import CheckpointError

Array = NDArray[Any]


@dataclass(frozen=True)
class Weight:
    """A weight of a checkpoint.

    Attributes
    ----------
    name : str
        In PyTorch's spelling (`bert.pooler.dense.weight`) or TensorFlow's
        (`bert/pooler/dense/kernel`), whichever the file has.
    shape : tuple of int
        As stored.
    read : callable
        Returns the values, of `shape`.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Array]

    def read_finite(self) -> Array:
        """Return the values.

        Raises
        ------
        CheckpointError
            One is not finite.
        """
        value = self.read()
        bad = value.size - np.count_nonzero(np.isfinite(value))
        if bad:
            raise CheckpointError(
                f"{self.name} holds {bad} values that are not finite (NaN or infinite): no output "
                "would mean anything; save the checkpoint from before its training diverged"
            )
        return value

    def times(self, mask: Callable[[], Array]) -> Weight:
        """Return the weight with its values multiplied by what `mask` returns."""
        return replace(self, read=lambda: np.asarray(self.read() * mask().astype(np.float32)))
