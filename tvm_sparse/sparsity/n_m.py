"""N:M patterns: N of every M neighbouring blocks of a block row stay."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import SparsityError


def keep_n_of_m(scores: NDArray[Any], n: int, m: int) -> NDArray[np.bool_]:
    """Choose the blocks that stay: the `n` highest of every `m` in a block row.

    Of blocks with equal scores the last stay, as in `keep_highest`.

    Parameters
    ----------
    scores : numpy.ndarray
        (num_block_rows, num_block_cols); `m` divides num_block_cols.
    n, m : int
        1 <= n <= m.

    Returns
    -------
    numpy.ndarray
        bool, of the shape of `scores`; exactly `n` of every `m` are True.

    Raises
    ------
    SparsityError
        `m` does not divide the number of block columns, or a score is not a number.

    References
    ----------
    Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks" (2:4 on elements).
    """
    rows, cols = scores.shape
    if not 1 <= n <= m or cols % m:
        raise SparsityError(
            f"pattern {n}:{m} given for {cols} block columns: M must divide their number, and N "
            "lie between 1 and M"
        )
    if not np.isfinite(scores).all():
        raise SparsityError("a weight or an activation is infinite or not a number")
    groups = scores.reshape(rows, cols // m, m)
    rank = np.argsort(np.argsort(groups, axis=2, kind="stable"), axis=2, kind="stable")
    mask: NDArray[np.bool_] = (rank >= m - n).reshape(rows, cols)
    return mask
