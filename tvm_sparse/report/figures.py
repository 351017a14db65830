"""Numbers with as many digits as their spread allows, and what is said where they mean nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tvm_sparse.bench.disturbance import Disturbance
from tvm_sparse.bench.record import BuildRecord

#: Digits after the point of what does not vary, for numbers from 1 on and below.
_DECIMALS, _DECIMALS_BELOW_ONE = 2, 4


def decimals_of(value: float, spread: float) -> int:
    """Return how many digits after the point a number deserves; negative for tens, hundreds.

    Parameters
    ----------
    value : float
        The number.
    spread : float
        How far it may be off, to both sides.
    """
    most = _DECIMALS if abs(value) >= 1 else _DECIMALS_BELOW_ONE
    if spread <= 0:
        return most
    # One digit always stands.
    first = -math.floor(math.log10(abs(value))) if value else 0
    return min(most, max(-math.floor(math.log10(spread)), first))


def figure(value: float, spread: float = 0.0) -> str:
    """Return a number with digits no finer than its spread: 19.68 may be off by 3, so 20."""
    decimals = decimals_of(value, spread)
    return f"{round(value, decimals):.{max(decimals, 0)}f}"


def spread_of(values: Sequence[float]) -> float:
    """Return half the range of 80 % of some values: how far their median may be off."""
    low, high = np.percentile(values, [10, 90])
    return float(high - low) / 2


def describe_disturbance(disturbance: Disturbance | None) -> str:
    """Return what is said before all numbers of a disturbed measurement; empty if it was quiet."""
    if disturbance is None or not disturbance.is_high:
        return ""
    times = "once" if disturbance.attempts == 1 else f"{disturbance.attempts} times"
    return (
        f"busy machine: unreliable (measured {times}; {', '.join(disturbance.reasons)}); the "
        "numbers below tell how busy it was, ratios of tenth percentiles less so"
    )


def milliseconds(build: BuildRecord, value: float) -> str:
    """Return a latency of a build with the digits that its rounds agree on."""
    return figure(value, spread_of(build.round_median_ms))


def describe_size(size_bytes: int) -> str:
    """Return a size in bytes as a person reads it: 17.3 MB, decimal units."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"
