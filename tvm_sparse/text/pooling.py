"""One vector for a text from those of its tokens, as sentence-transformers defines it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.model.text_facts import PoolingMode

Vector = NDArray[np.float32]


def _weighted(hidden: NDArray[Any]) -> Vector:
    weights = np.arange(1, len(hidden) + 1, dtype=np.float32)[:, None]
    return np.asarray((hidden * weights).sum(axis=0) / weights.sum())


_POOLINGS: Mapping[PoolingMode, Callable[[NDArray[Any]], Vector]] = {
    "cls": lambda hidden: hidden[0],
    "max": lambda hidden: hidden.max(axis=0),
    # What numpy's `mean` computes, for half the time.
    "mean": lambda hidden: np.add.reduce(hidden) / np.float32(len(hidden)),
    "mean_sqrt_len": lambda hidden: hidden.sum(axis=0) / np.float32(len(hidden)) ** 0.5,
    "weightedmean": _weighted,
    "lasttoken": lambda hidden: hidden[-1],
}


def pool(hidden: NDArray[Any], modes: Sequence[PoolingMode]) -> Vector:
    """Return the vector of a text.

    Parameters
    ----------
    hidden : ndarray
        Hidden states (tokens, H), without padding.
    modes : sequence of str
        Vectors of `H` that are concatenated.

    Returns
    -------
    ndarray of float32
        (H times the number of modes,).
    """
    found = [_POOLINGS[mode](hidden) for mode in modes]
    return (found[0] if len(found) == 1 else np.concatenate(found)).astype(np.float32, copy=False)


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Return vectors (n, H) of length 1; zero ones stay zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
