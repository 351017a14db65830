"""From scores of blocks to the blocks that stay, at an exact count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import SparsityError


def keep_highest(scores: NDArray[Any], zeros: int) -> NDArray[np.bool_]:
    """Choose the blocks that stay: all but the `zeros` lowest of the layer.

    Of blocks with equal scores the first in row-major order go first.

    Parameters
    ----------
    scores : numpy.ndarray
        (num_block_rows, num_block_cols).
    zeros : int
        Blocks to remove, 0 to all.

    Returns
    -------
    numpy.ndarray
        bool, of the shape of `scores`, with exactly `zeros` blocks False.

    Raises
    ------
    SparsityError
        There are fewer blocks than are to be removed, or a score is not a number.
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

    Parameters
    ----------
    scores : numpy.ndarray
        (num_block_rows, num_block_cols).
    zeros : int
        Blocks to remove in all. What the rows cannot share evenly is taken from the first ones.

    Returns
    -------
    numpy.ndarray
        bool, of the shape of `scores`, with exactly `zeros` blocks False.

    Raises
    ------
    SparsityError
        There are fewer blocks than are to be removed, or a score is not a number.
    """
    _check(scores.ravel(), zeros)
    share, rest = divmod(zeros, len(scores))
    counts = share + (np.arange(len(scores)) < rest)
    rank = np.argsort(np.argsort(scores, axis=1, kind="stable"), axis=1, kind="stable")
    mask: NDArray[np.bool_] = rank >= counts[:, None]
    return mask


def _check(flat: NDArray[Any], zeros: int) -> None:
    if not 0 <= zeros <= flat.size:
        raise SparsityError(f"{zeros} zero blocks asked for: the weight has {flat.size} blocks")
    if not np.isfinite(flat).all():
        raise SparsityError("a weight or an activation is infinite or not a number")
