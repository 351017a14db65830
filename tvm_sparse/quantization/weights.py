"""Weights as the kernels of 8 bits see them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.formats.integer_rows import integer_steps
from tvm_sparse.formats.quantized import MOST_SUM, MOST_WEIGHT, VNNI, WORD, Grade, quantize_rows

#: What the rounding of floats makes of a row of the same integers, relative to its largest.
_SAME = 1e-5
#: Values that a row has at least, on average, where they say that it was rounded.
_TELLING = 8


def rounded_weight(weight: NDArray[Any], grade: Grade) -> NDArray[np.float32]:
    """Return a weight as integers of 8 bits and a step for each output make it.

    Parameters
    ----------
    weight : numpy.ndarray
        Float32 (N, K).
    grade : Grade
        How the kernel adds up, which decides how many steps there are.

    Returns
    -------
    numpy.ndarray
        Float32 (N, K).
    """
    values, scales = _integers(weight, grade)
    return np.asarray(values * scales[:, None], np.float32)


def comes_rounded(weight: NDArray[Any]) -> bool:
    """Return whether a weight (N, K) holds integers of 8 bits times a step for each output.

    Around whatever zero point: they may need nine bits around zero. Rows of a few values are so by
    chance, and say nothing.
    """
    units, depth = weight.shape
    steps = integer_steps(weight.ravel(), np.arange(units + 1) * depth, 2 * (MOST_WEIGHT + 1))
    return bool((steps > 0).all() and np.count_nonzero(weight) >= _TELLING * units)


def rows_rounded_anew(weight: NDArray[Any], grade: Grade, in_any_order: bool = False) -> int:
    """Return how many rows of a weight that comes quantised get other integers than they had.

    Integers are found again from the values of a row, if eight bits and the sums of the grade have
    room for them.

    Parameters
    ----------
    weight : numpy.ndarray
        Float32 (N, K): integers times a step for each output.
    grade : Grade
        How the kernel adds up.
    in_any_order : bool
        Whether any values of a row may meet in a sum, as where blocks are put together; else those
        that lie side by side.
    """
    gap = np.abs(rounded_weight(weight, grade) - weight).max(axis=1)
    anew = gap > _SAME * np.abs(weight).max(axis=1)
    if in_any_order and grade.span:
        values, _ = _integers(weight, VNNI)
        largest = -np.sort(-np.stack([values, -values]), axis=2)[..., : 2 * grade.span]
        anew |= (largest.clip(0).sum(axis=2) > MOST_SUM).any(axis=0)
    return int(anew.sum())


def _integers(weight: NDArray[Any], grade: Grade) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return a weight (N, K) as integers and the steps (N,) of its rows."""
    units, depth = weight.shape
    padded = np.pad(weight, ((0, 0), (0, -depth % WORD)))
    values, scales = quantize_rows(padded.reshape(units, -1, WORD), grade)
    return values.reshape(units, -1)[:, :depth].astype(np.int32), scales
