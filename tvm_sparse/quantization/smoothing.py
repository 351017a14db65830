"""Smooth what a quantised product multiplies: outliers of inputs move into the weights.

One large feature takes the range of a token's 256 steps for itself. Dividing it, and multiplying
the weights that meet it, changes no product and rounds less: SmoothQuant (Xiao et al., 2023,
arXiv 2211.10438, equation 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Peaks below such a share of the largest count as that: a feature that calibration never saw must
#: not blow up when it does occur.
_LEAST_PEAK = 1e-3


def smoothing_factors(
    input_peaks: NDArray[Any], weights: Sequence[NDArray[Any]], strength: float = 0.5
) -> NDArray[np.float32]:
    """Return what the inputs of some products are multiplied by, feature by feature.

    The weights' columns are divided by it, which leaves the products what they were.

    Parameters
    ----------
    input_peaks : numpy.ndarray
        Largest magnitudes of the features (K,).
    weights : sequence of numpy.ndarray
        All weights (N, K) that multiply these inputs.
    strength : float
        0 smooths the weights alone, 1 the inputs alone.

    Returns
    -------
    numpy.ndarray
        Float32 (K,), positive.
    """
    weight_peaks = np.max([np.abs(weight).max(axis=0) for weight in weights], axis=0)
    inputs, columns = (_above_least(peaks) for peaks in (input_peaks, weight_peaks))
    return np.asarray(columns ** (1 - strength) / inputs**strength, np.float32)


def _above_least(peaks: NDArray[Any]) -> NDArray[np.float64]:
    most = float(peaks.max(initial=0.0))
    least = most * _LEAST_PEAK if most else 1.0
    return np.maximum(peaks.astype(np.float64), least)
