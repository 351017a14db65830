"""Logits as probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Return probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Return probabilities that are independent of each other."""
    # Of the smaller power: that of a large number would be infinite.
    power = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1 / (1 + power), power / (1 + power)))
