"""Softmax attention written out in float64, and masks for it."""

from __future__ import annotations

import numpy as np

MASKED = -1e9


def truth(query, key, value, heads: int, scale: float, mask) -> np.ndarray:
    """(B, S, heads * value_dim) of (B, S, heads * dim) operands."""
    batch, seq_len, _ = query.shape
    q, k, v = (
        x.astype(np.float64).reshape(batch, seq_len, heads, -1).transpose(0, 2, 1, 3)
        for x in (query, key, value)
    )
    scores = q @ k.transpose(0, 1, 3, 2) * scale
    if mask is not None:
        scores = scores + mask[:, None, None, :]
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ v).transpose(0, 2, 1, 3).reshape(batch, seq_len, -1)


def padding(rng, rows: int, seq_len: int, blocked: float = MASKED) -> np.ndarray:
    """Random tokens masked out, the first one never."""
    mask = np.where(rng.random((rows, seq_len)) < 0.4, blocked, 0.0).astype(np.float32)
    mask[:, 0] = 0
    return mask
