"""Seeded random block structures at an exact block count."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.sparsity.bsr import apply_block_mask, as_blocks, block_grid, block_mask

# Standard deviation that BERT and its kin initialise with, for weights that are all zero.
DEFAULT_SCALE = 0.02


def zero_block_count(num_blocks: int, sparsity: float) -> int:
    """Return how many of `num_blocks` are zero at a block sparsity of 0..1, rounded."""
    return round(num_blocks * sparsity)


def layer_rng(seed: int, name: str) -> np.random.Generator:
    """Return the generator of one layer; it depends on no other layer and on no order."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def random_block_mask(
    grid: tuple[int, int], sparsity: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose which blocks stay, each set of the right size as likely as any other.

    The mask is bool, of shape `grid`, with exactly `zero_block_count` blocks False.
    """
    num_blocks = grid[0] * grid[1]
    kept = num_blocks - zero_block_count(num_blocks, sparsity)
    mask = np.zeros(num_blocks, np.bool_)
    mask[rng.choice(num_blocks, kept, replace=False, shuffle=False)] = True
    return mask.reshape(grid)


def fill_random(
    weight: NDArray[Any], block_shape: tuple[int, int], sparsity: float, rng: np.random.Generator
) -> NDArray[Any]:
    """Return a weight (N, K) with a random block structure, exactly as sparse as asked for.

    Blocks that stay keep their values. Those that were all zero get normal values at the scale of
    the weight's non-zeros, so that the number of non-zero blocks is exact.

    Raises
    ------
    SparsityError
        The blocks do not divide the weight.
    """
    mask = random_block_mask(
        block_grid((weight.shape[0], weight.shape[1]), block_shape), sparsity, rng
    )
    filled = apply_block_mask(weight, mask, block_shape)
    empty = mask & ~block_mask(weight, block_shape)
    if empty.any():
        values = rng.standard_normal((int(empty.sum()), *block_shape)) * _scale(weight)
        blocks = as_blocks(filled, block_shape)
        blocks[empty] = values.astype(weight.dtype)
    return filled


def _scale(weight: NDArray[Any]) -> float:
    """Root mean square of the non-zeros, or `DEFAULT_SCALE` when there are none."""
    nonzeros = weight[weight != 0].astype(np.float64)
    return float(np.sqrt(np.mean(nonzeros**2))) if nonzeros.size else DEFAULT_SCALE
