"""Magnitude pruning: remove the blocks of least L2 norm.

Source: Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks",
there for single weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.sparsity.block_scores import keep_highest
from tvm_sparse.sparsity.bsr import apply_block_mask, as_blocks
from tvm_sparse.sparsity.patterns import zero_block_count


def block_norms_squared(weight: NDArray[Any], block_shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the squared L2 norm of every block, float64 (num_block_rows, num_block_cols)."""
    blocks = as_blocks(weight.astype(np.float64), block_shape)
    norms: NDArray[np.float64] = np.einsum("ijrc,ijrc->ij", blocks, blocks)
    return norms


def magnitude_block_mask(
    weight: NDArray[Any], block_shape: tuple[int, int], sparsity: float
) -> NDArray[np.bool_]:
    """Choose which blocks stay: all but the least ones, exactly as many as asked for.

    Of blocks with equal norms the first in row-major order go first. The mask is bool
    (num_block_rows, num_block_cols).
    """
    norms = block_norms_squared(weight, block_shape)
    return keep_highest(norms, zero_block_count(norms.size, sparsity))


def prune_magnitude(
    weight: NDArray[Any], block_shape: tuple[int, int], sparsity: float
) -> NDArray[Any]:
    """Return a copy of `weight` (N, K) with its least blocks set to zero.

    Blocks that are zero already count among the least, so a weight sparser than asked for stays
    as it is.

    Raises
    ------
    SparsityError
        The blocks do not divide the weight.
    """
    mask = magnitude_block_mask(weight, block_shape, sparsity)
    return apply_block_mask(weight, mask, block_shape)
