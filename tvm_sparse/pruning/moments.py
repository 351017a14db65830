"""Collect what the dense layers multiply over the calibration text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tvm_sparse.model.layer import Layer
from tvm_sparse.model.model import Model
from tvm_sparse.progress import ShareProgress, silent
from tvm_sparse.pruning.activations import ActivationRunner, DenseInput
from tvm_sparse.pruning.calibration import Calibration
from tvm_sparse.sparsity.hessian import HessianSum
from tvm_sparse.sparsity.prune_layer import InputMoments


def stages(layers: Iterable[Layer]) -> list[list[Layer]]:
    """Group layers by encoder layer, in the model's order; those outside of all stand alone."""
    groups: dict[int | str, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(layer.name if layer.block is None else layer.block, []).append(layer)
    return list(groups.values())


class MomentCollector:
    """Runs calibration texts through dense builds and adds up the moments of layer inputs.

    The code for one set of layers is compiled once, whatever the weights.

    Parameters
    ----------
    model : Model
        Of any weights of the architecture; not changed.
    threads : int, optional
        Threads to run on; every core by default.
    """

    def __init__(self, model: Model, threads: int | None = None) -> None:
        self._model, self._threads = model, threads
        self._runners: dict[tuple[str, ...], ActivationRunner] = {}

    def collect(
        self,
        params: Mapping[str, np.ndarray],
        names: Sequence[str],
        calibration: Calibration,
        *,
        full: bool,
        progress: ShareProgress = silent,
    ) -> dict[str, InputMoments]:
        """Return the moments of the inputs of some layers.

        Parameters
        ----------
        params : mapping of str to ndarray
            The weights to run with; not changed.
        names : sequence of str
            Weights whose inputs are wanted. What comes after the last of them is not computed.
        calibration : Calibration
            The text.
        full : bool
            Collect Hessians; else only sums of squares.
        progress : callable
            Receives a text and the finished share, 0..1.

        Returns
        -------
        dict of str to InputMoments
            By weight. Weights that share an input share its moments.

        Raises
        ------
        InputError
            The model takes something that is no text.
        PassError, BuildError
            From the compiler.
        """
        key = tuple(names)
        if key not in self._runners:
            self._runners[key] = ActivationRunner(self._model, names, self._threads)
        runner = self._runners[key]
        sums = [HessianSum(tensor.shape[-1], diagonal=not full) for tensor in runner.inputs]
        batch = int(runner.shapes[0][0])
        runs = -(-len(calibration.tokens) // batch)
        runner.load(params)
        for index, (inputs, counts) in enumerate(calibration.batches(runner.names, batch)):
            progress("running the calibration text", index / runs)
            for total, values in zip(sums, runner.run(inputs), strict=True):
                rows = values.reshape(-1, values.shape[-1])
                # Anything that is not one row per token has no padding to leave out.
                total.add(rows[counts.ravel()] if len(rows) == counts.size else rows)
        runner.unload()
        return _by_weight(runner.inputs, sums, full)


def _by_weight(
    inputs: Sequence[DenseInput], sums: Sequence[HessianSum], full: bool
) -> dict[str, InputMoments]:
    """Return the moments by weight; a weight used by several layers has several inputs."""
    by_weight: dict[str, list[HessianSum]] = {}
    for tensor, total in zip(inputs, sums, strict=True):
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
