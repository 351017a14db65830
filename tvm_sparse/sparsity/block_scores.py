"""From scores of blocks to the blocks that stay, at an exact count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import SparsityError


def keep_highest(scores: NDArray[Any], zeros: int) -> NDArray[np.bool_]:
    """Choose the blocks that stay: all but the `zeros` lowest of the layer, exactly.

    Of blocks with equal scores the first in row-major order go first. The mask is bool
    (num_block_rows, num_block_cols), as the scores are. Raises SparsityError if there are fewer
    blocks than are to be removed, or a score is not a number.
    """
    flat = scores.ravel()
    _check(flat, zeros)
    mask = np.ones(flat.size, np.bool_)
    if zeros == flat.size:
        mask[:] = False
    elif zeros:
        # A partition instead of a stable sort: it is several times faster at 1x1 blocks.
        limit = np.partition(flat, zeros)[zeros]
        below = flat < limit
        mask[below] = False
        ties = np.flatnonzero(flat == limit)
        mask[ties[: zeros - int(below.sum())]] = False
    return mask.reshape(scores.shape)


def keep_highest_per_row(scores: NDArray[Any], zeros: int) -> NDArray[np.bool_]:
    """Choose the blocks that stay, removing from every block row as many as from the others.

    `zeros` are removed in all; what the rows cannot share evenly is taken from the first ones.
    Otherwise as `keep_highest`.
    """
    _check(scores, zeros)
    share, rest = divmod(zeros, len(scores))
    counts = share + (np.arange(len(scores)) < rest)
    return np.asarray(_ranks(scores) >= counts[:, None])


def keep_n_of_m(scores: NDArray[Any], n: int, m: int) -> NDArray[np.bool_]:
    """Choose the blocks that stay: the `n` highest of every `m` neighbours in a block row.

    Of blocks with equal scores the last stay, as in `keep_highest`. Raises SparsityError if `m`
    does not divide the number of block columns, or a score is not a number.

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
    _check(scores)
    ranks = _ranks(scores.reshape(rows, cols // m, m))
    return np.asarray((ranks >= m - n).reshape(rows, cols))


def _ranks(scores: NDArray[Any]) -> NDArray[np.intp]:
    """Return the place of each score among those along the last axis, 0 for the lowest."""
    return np.argsort(np.argsort(scores, axis=-1, kind="stable"), axis=-1, kind="stable")


def _check(scores: NDArray[Any], zeros: int = 0) -> None:
    if not 0 <= zeros <= scores.size:
        raise SparsityError(f"{zeros} zero blocks asked for: the weight has {scores.size} blocks")
    if not np.isfinite(scores).all():
        raise SparsityError("a weight or an activation is infinite or not a number")
