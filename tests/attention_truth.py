"""Softmax attention written out in float64, and masks for it."""

from __future__ import annotations

import numpy as np

from tvm_sparse.kernels.attention_terms import distance_width

MASKED = -1e9
LOWEST = float(np.finfo(np.float32).min)


def truth(
    query,
    key,
    value,
    heads: int,
    scale: float,
    mask,
    bias=None,
    key_heads: int | None = None,
    to_position=None,
    from_position=None,
) -> np.ndarray:
    """(B, S, heads * value_dim) of (B, S, heads * dim) operands.

    `bias` is (B or 1, heads or 1, S, S); features of distances are (heads, dim, 2 * S - 1), those
    of a query S - 1 tokens in front of a key first.
    """
    batch, seq_len, _ = query.shape
    key_heads = key_heads or heads
    q, k, v = (
        x.astype(np.float64).reshape(batch, seq_len, count, -1).transpose(0, 2, 1, 3)
        for x, count in ((query, heads), (key, key_heads), (value, key_heads))
    )
    k, v = (np.repeat(x, heads // key_heads, axis=1) for x in (k, v))
    scores = q @ k.transpose(0, 1, 3, 2)
    position = np.arange(seq_len)
    apart = position[:, None] - position + seq_len - 1
    if to_position is not None:
        scores += np.einsum("bhqd,hdqk->bhqk", q, to_position[:, :, apart])
    if from_position is not None:
        scores += np.einsum("bhkd,hdqk->bhqk", k, from_position[:, :, apart])
    scores *= scale
    if bias is not None:
        scores = scores + bias
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


def by_keys(bias: np.ndarray, layout) -> np.ndarray:
    """(B, heads, S queries, S keys) as the kernel reads it: keys, then queries in whole tiles."""
    rest = layout.tiles_per_sequence * layout.token_tile - layout.seq_len
    turned = bias.transpose(0, 1, 3, 2)
    return np.pad(turned, ((0, 0), (0, 0), (0, 0), (0, rest))).astype(np.float32)


def by_distance(features: np.ndarray, layout) -> np.ndarray:
    """(heads, dim, 2 S - 1), as `truth` has them, in the columns in which the kernel finds them."""
    tokens = layout.tiles_per_sequence * layout.token_tile
    columns = np.zeros((*features.shape[:2], distance_width(tokens, layout.lanes)), np.float32)
    first = tokens - layout.seq_len + 1
    columns[..., first : first + features.shape[-1]] = features
    return columns


def band(seq_len: int, before: int, behind: int) -> np.ndarray:
    """(1, 1, S, S) that hides what is not in a window; -1 for no end."""
    position = np.arange(seq_len)
    apart = position - position[:, None]
    seen = (apart >= -before) if before >= 0 else np.ones_like(apart, bool)
    seen &= (apart <= behind) if behind >= 0 else True
    return np.where(seen, 0, LOWEST).astype(np.float32)[None, None]
