"""Collect what the dense layers multiply over the calibration text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tvm_sparse.model.layer import Layer
from tvm_sparse.model.model import Model
from tvm_sparse.progress import ShareProgress, silent
from tvm_sparse.pruning.activations import ActivationRunner
from tvm_sparse.pruning.calibration import Calibration
from tvm_sparse.sparsity.hessian import HessianSum
from tvm_sparse.sparsity.prune_layer import InputMoments


def stages(layers: Iterable[Layer]) -> list[list[Layer]]:
    """Group layers by encoder layer, in the model's order; those outside of all stand alone."""
    groups: dict[int | str, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(layer.name if layer.block is None else layer.block, []).append(layer)
    return list(groups.values())


def collect_moments(
    model: Model,
    names: Sequence[str],
    calibration: Calibration,
    *,
    full: bool,
    threads: int | None = None,
    progress: ShareProgress = silent,
) -> dict[str, InputMoments]:
    """Run the calibration text through a dense build and add up the moments of layer inputs.

    What comes after the last of the weights `names` is not computed, and those that share an input
    share its moments. `full` collects Hessians; else there are only sums of squares.

    Raises
    ------
    InputError
        The model takes something that is no text.
    PassError, BuildError
        From the compiler.
    """
    runner = ActivationRunner(model, names, threads)
    sums = [HessianSum(tensor.shape[-1], diagonal=not full) for tensor in runner.inputs]
    batch = int(runner.shapes[0][0])
    runs = -(-len(calibration.tokens) // batch)
    for index, (inputs, counts) in enumerate(calibration.batches(runner.names, batch)):
        progress("running the calibration text", index / runs)
        for total, values in zip(sums, runner.run(inputs), strict=True):
            rows = values.reshape(-1, values.shape[-1])
            # Anything that is not one row per token has no padding to leave out.
            total.add(rows[counts.ravel()] if len(rows) == counts.size else rows)
    # A weight used by several layers has several inputs: their moments add up.
    by_weight: dict[str, list[HessianSum]] = {}
    for tensor, total in zip(runner.inputs, sums, strict=True):
        for name in tensor.weights:
            by_weight.setdefault(name, []).append(total)
    made: dict[tuple[int, ...], InputMoments] = {}
    for totals in by_weight.values():
        key = tuple(map(id, totals))
        if key not in made:
            made[key] = _moments(totals, full)
    return {name: made[tuple(map(id, totals))] for name, totals in by_weight.items()}


def _moments(totals: Sequence[HessianSum], full: bool) -> InputMoments:
    first, *others = (total.result() for total in totals)
    value = sum(others, first)
    tokens = sum(total.tokens for total in totals)
    if full:
        return InputMoments(np.diag(value).copy(), value, tokens)
    return InputMoments(value, None, tokens)
