"""Rows of a weight that are integers already: whole multiples of a step of their own.

Checkpoints that come quantised hold integers and steps; a model holds the floats they stand for.
The step of a row follows from these: its largest value is a small number of steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Values of a row by which most steps are ruled out.
_SAMPLE = 8
#: How far from whole a number of steps may be: ten times what rounding of floats makes of it.
_WHOLE = 2e-4


def integer_steps(
    values: NDArray[Any], starts: NDArray[Any], most: int = 128
) -> NDArray[np.float32]:
    """Return the coarsest step of which all values of a row are whole multiples.

    Parameters
    ----------
    values : numpy.ndarray
        float32 (values,), all rows behind each other.
    starts : numpy.ndarray
        int (rows + 1,), the first value of each row and the end of the last.
    most : int
        Multiples are below this, or its negative.

    Returns
    -------
    numpy.ndarray
        float32 (rows,): 0 of a row without, 1 of one of zeros.
    """
    rows = len(starts) - 1
    steps = np.zeros(rows, np.float32)
    at = np.flatnonzero(values)
    firsts = np.searchsorted(at, starts)
    counts = np.diff(firsts)
    steps[counts == 0] = 1.0
    live = np.flatnonzero(counts)
    if not len(live):
        return steps
    nonzeros = values[at]
    # Rows of zeros have no part of their own.
    peaks = np.maximum.reduceat(np.abs(nonzeros), firsts[live])
    spread = np.linspace(0, counts[live] - 1, _SAMPLE).T.astype(np.int64)
    sample = np.abs(nonzeros[firsts[live][:, None] + spread]) / peaks[:, None]
    numbers = np.arange(1, most + 1)
    possible = np.ones((len(live), most), np.bool_)
    for ratio in sample.T:
        times = ratio[:, None] * numbers
        possible &= np.abs(times - np.rint(times)) < _WHOLE
    while True:
        left = possible.any(axis=1)
        live, peaks, possible = live[left], peaks[left], possible[left]
        if not len(live):
            return steps
        tried = possible.argmax(axis=1)
        possible[np.arange(len(live)), tried] = False
        candidates = (peaks / numbers[tried]).astype(np.float32)
        fits = _are_whole(nonzeros, firsts, live, candidates, most)
        steps[live[fits]] = candidates[fits]
        live, peaks, possible = live[~fits], peaks[~fits], possible[~fits]


def _are_whole(
    nonzeros: NDArray[Any],
    firsts: NDArray[Any],
    rows: NDArray[Any],
    steps: NDArray[np.float32],
    most: int,
) -> NDArray[np.bool_]:
    """Return of which of some rows all values are whole multiples of a step each, and in range."""
    counts = np.diff(firsts)[rows]
    begins = np.cumsum(counts) - counts
    at = np.arange(counts.sum()) + np.repeat(firsts[rows] - begins, counts)
    times = nonzeros[at] / np.repeat(steps, counts)
    whole = np.rint(times)
    is_right = (np.abs(times - whole) < _WHOLE) & (whole < most) & (whole >= -most)
    return np.asarray(np.logical_and.reduceat(is_right, begins))
