"""Weights as the kernels of 8 bits see them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.formats.quantized import WORD, Grade, quantize_rows

#: What the rounding of floats makes of a row of the same integers, relative to its largest.
_SAME = 1e-5


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
    units, depth = weight.shape
    padded = np.pad(weight, ((0, 0), (0, -depth % WORD)))
    values, scales = quantize_rows(padded.reshape(units, -1, WORD), grade)
    rounded = values.reshape(units, -1)[:, :depth]
    return np.asarray(rounded * scales[:, None], np.float32)


def rows_rounded_anew(weight: NDArray[Any], grade: Grade) -> int:
    """Return how many rows of a weight that comes quantised get other integers than they had.

    Those of a row whose largest is 127, or least -128, are found again from its values, if the
    sums of the grade have room for them.

    Parameters
    ----------
    weight : numpy.ndarray
        Float32 (N, K): integers times a step for each output.
    grade : Grade
        How the kernel adds up.
    """
    gap = np.abs(rounded_weight(weight, grade) - weight).max(axis=1)
    return int((gap > _SAME * np.abs(weight).max(axis=1)).sum())
