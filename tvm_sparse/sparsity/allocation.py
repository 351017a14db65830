"""Spend a budget of zero blocks over layers where it costs least.

Each layer has a curve of what is lost at what sparsity. Losses of different layers are taken to
add up, which they do as long as they are small; the cheapest way to spend a budget then gives
every layer the same price for its last zero block. That is the Lagrangian condition, and on
convex curves a greedy choice meets it exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.patterns import zero_block_count

#: Points into which a curve is divided.
_STEPS = 128
#: Losses below this share of a curve's largest are noise.
_NOISE = 1e-6


@dataclass(frozen=True)
class LossCurve:
    """What a layer loses at which sparsity.

    Attributes
    ----------
    name : str
        The layer's weight.
    blocks : int
        Number of its blocks.
    sparsities, losses : tuple of float
        Block sparsities, ascending, over 0 and up to 1; the loss at each, 0 or more. Without
        pruning it is 0.
    """

    name: str
    blocks: int
    sparsities: tuple[float, ...]
    losses: tuple[float, ...]

    def __post_init__(self) -> None:
        levels = np.array(self.sparsities)
        if len(levels) != len(self.losses) or not len(levels):
            raise SparsityError(
                f"{len(levels)} sparsities and {len(self.losses)} losses given for {self.name}: "
                "one loss for each of at least one sparsity is needed"
            )
        if levels[0] <= 0 or levels[-1] > 1 or np.any(np.diff(levels) <= 0):
            raise SparsityError(
                f"sparsities {', '.join(f'{s:g}' for s in levels)} given for {self.name}: they "
                "must ascend, over 0 and up to 1"
            )


def allocate(curves: Sequence[LossCurve], sparsity: float) -> dict[str, int]:
    """Choose how many blocks of each layer become zero.

    Parameters
    ----------
    curves : sequence of LossCurve
        One per layer. A layer is pruned at most to the last sparsity of its curve.
    sparsity : float
        Share of all blocks of these layers that must be zero, 0..1.

    Returns
    -------
    dict of str to int
        Zero blocks of each layer. Their sum is `zero_block_count` of all blocks together.

    Raises
    ------
    SparsityError
        There are no layers, or their curves end before the budget is spent.
    """
    if not curves:
        raise SparsityError("no layers given to spend a sparsity on: at least one is needed")
    total = sum(curve.blocks for curve in curves)
    budget = zero_block_count(total, sparsity)
    most = {curve.name: zero_block_count(curve.blocks, curve.sparsities[-1]) for curve in curves}
    if budget > sum(most.values()):
        raise SparsityError(
            f"sparsity {sparsity:g} given: these layers may reach {sum(most.values()) / total:.4g} "
            "together; ask for less, or measure their losses at higher sparsities"
        )
    # (price of a block, layer, zero blocks at the segment's end), cheapest first. Prices rise
    # along a convex curve, so a layer's segments come in order.
    segments = sorted(
        (price, index, end)
        for index, curve in enumerate(curves)
        for price, end in _segments(curve, most[curve.name])
    )
    zeros = dict.fromkeys(most, 0)
    for _, index, end in segments:
        name = curves[index].name
        step = min(end - zeros[name], budget)
        zeros[name] += step
        budget -= step
    return zeros


def _segments(curve: LossCurve, most: int) -> list[tuple[float, int]]:
    """Return (price of a block, zero blocks at the end) along the curve's lower convex hull."""
    ends = np.unique(np.rint(np.linspace(0, most, min(most, _STEPS) + 1)).astype(np.int64))
    losses = loss_at(curve, ends / curve.blocks)
    hull = [0]
    for i in range(1, len(ends)):
        # Drop a point that lies on or over the line from the one before it to this one.
        while len(hull) > 1 and _slope(ends, losses, hull[-2], hull[-1]) >= _slope(
            ends, losses, hull[-2], i
        ):
            hull.pop()
        hull.append(i)
    return [(_slope(ends, losses, a, b), int(ends[b])) for a, b in pairwise(hull)]


def _slope(x: NDArray[np.int64], y: NDArray[np.float64], a: int, b: int) -> float:
    return float((y[b] - y[a]) / (x[b] - x[a]))


def loss_at(curve: LossCurve, sparsity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a curve's losses at sparsities from 0 up to its last one.

    They are smooth in the logarithm in between, and proportional below the first.
    """
    levels = np.array(curve.sparsities)
    # Losses that are measured may dip; more zeros never cost less.
    losses = np.maximum.accumulate(np.maximum(np.array(curve.losses, np.float64), 0))
    if losses[-1] == 0:
        return np.zeros(len(sparsity))
    logs = np.log(np.maximum(losses, _NOISE * losses[-1]))
    low: NDArray[np.float64] = sparsity / levels[0] * np.exp(logs[0])
    if len(levels) == 1:
        return low
    high = np.exp(PchipInterpolator(levels, logs)(np.clip(sparsity, levels[0], levels[-1])))
    result: NDArray[np.float64] = np.where(sparsity < levels[0], low, high)
    return result
