"""A bias of attention that depends on how far a query is from a key alone: a table of distances.

Relative positions, windows and causal masks are such, for any length and wherever a sequence
lies: of all lengths up to the largest there is one table, where a bias for each pair would be a
matrix for each length.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tvm_sparse.kernels.attention_shape import UNBOUNDED
from tvm_sparse.kernels.attention_terms import distance_width

#: What a mask adds to hide a key: no score is near it.
HIDDEN = -1e30


def by_distance(terms: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the sum of terms by distance, None if it depends on something else.

    Parameters
    ----------
    terms : sequence of ndarray
        Of the axes batch, heads, queries and keys, each of one or all.

    Returns
    -------
    ndarray
        (1 or heads, 2 S - 1): of a query S - 1 tokens in front of the key first.
    """
    try:
        with np.errstate(over="ignore"):  # hidden twice
            total = np.maximum(sum(terms[1:], terms[0]), np.finfo("float32").min)
    except ValueError:  # they reach to different lengths
        return None
    batch, heads, queries, keys = total.shape
    size = max(queries, keys)
    if batch != 1 or {queries, keys} - {1, size}:
        return None
    pairs = np.broadcast_to(total[0], (heads, size, size))
    table = np.concatenate([pairs[:, 0, :0:-1], pairs[:, :, 0]], axis=1).astype(np.float32)
    position = np.arange(size)
    apart = position[:, None] - position + size - 1
    # Head by head: all of them at once would be as large as the bias.
    alike = all((table[head][apart] == pairs[head]).all() for head in range(heads))
    return table if alike else None


def window(table: np.ndarray, worth: float) -> tuple[int, int]:
    """Return the most keys in front of a query and behind it that a table leaves to it.

    `UNBOUNDED` where it leaves all, and where a window would leave out less than a share `worth`
    of all pairs.
    """
    last = table.shape[1] // 2
    seen = np.flatnonzero((table > HIDDEN).any(axis=0)) - last
    before, behind = max(int(seen.max(initial=0)), 0), max(int(-seen.min(initial=0)), 0)
    distances = np.arange(-last, last + 1)
    pairs = last + 1 - np.abs(distances)
    left_out = pairs[(distances > before) | (distances < -behind)].sum() / pairs.sum()
    if left_out < worth:
        return UNBOUNDED, UNBOUNDED
    return before if before < last else UNBOUNDED, behind if behind < last else UNBOUNDED


def packed_table(table: np.ndarray, tokens: int, lanes: int) -> np.ndarray:
    """Return a table as the kernel reads it: a distance of 0 is column `tokens`."""
    columns = np.zeros((len(table), distance_width(tokens, lanes)), np.float32)
    first = tokens - table.shape[1] // 2
    columns[:, first : first + table.shape[1]] = table
    return columns
