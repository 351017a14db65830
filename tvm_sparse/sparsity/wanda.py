"""Wanda: a weight matters as much as the inputs it meets are large."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.pruning import block_norms_squared


def wanda_scores(
    weight: NDArray[Any], input_norms_squared: NDArray[Any], block_shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the score of every block: the squared L2 norm of |W| * ||X||.

    For 1x1 blocks this ranks as |W| * ||X|| does. The method compares within an output, a block row
    here: see `block_scores.keep_highest_per_row`. From `weight` (N, K) and the sums over the tokens
    of the squares of every input, (K,), to float64 (num_block_rows, num_block_cols). Raises
    SparsityError if the blocks do not divide the weight, or there are not K norms.

    References
    ----------
    Sun et al. 2023, "A Simple and Effective Pruning Approach for Large Language Models"; the sum
    over a block is ours.
    """
    if input_norms_squared.shape != weight.shape[1:]:
        raise SparsityError(
            f"{input_norms_squared.size} input norms given for a weight with {weight.shape[1]} "
            "inputs: one per input is needed"
        )
    scaled = weight.astype(np.float64) * np.sqrt(input_norms_squared)
    return block_norms_squared(scaled, block_shape)
