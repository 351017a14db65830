"""What the inputs of dense layers are like: their peaks, and they themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tvm_sparse.model.model import Model
from tvm_sparse.progress import ShareProgress, silent
from tvm_sparse.pruning.activations import ActivationRunner
from tvm_sparse.pruning.calibration import Calibration


@dataclass(frozen=True)
class LayerInput:
    """A tensor that some layers multiply.

    `weights` are the names of their weights; `rows` float32 (tokens, K).
    """

    weights: tuple[str, ...]
    rows: np.ndarray


class LayerInputs:
    """Runs a model and tells what some of its layers multiply.

    Parameters
    ----------
    model : Model
        Of one shape; with the weights to run with.
    names : sequence of str
        Weights.
    threads : int, optional
        Threads to run on; every core by default.

    Attributes
    ----------
    names, batch
        Inputs of the model, and how many sequences they have.

    Raises
    ------
    PassError, BuildError
        From the compiler.
    """

    def __init__(self, model: Model, names: Sequence[str], threads: int | None = None) -> None:
        self._runner = ActivationRunner(model, names, threads)
        self._runner.load(model.params)
        self.names, self.batch = self._runner.names, int(self._runner.shapes[0][0])

    def of(self, inputs: Mapping[str, np.ndarray]) -> Iterator[LayerInput]:
        """Return what layers multiply for inputs of the model; padding is not among it."""
        counts = None
        if (mask := inputs.get("attention_mask")) is not None:
            counts = mask > 0
        yield from self._run(inputs, counts)

    def peaks(
        self, calibration: Calibration, progress: ShareProgress = silent
    ) -> dict[tuple[str, ...], np.ndarray]:
        """Return the largest magnitude of every feature (K,), by the weights that multiply it."""
        runs = -(-len(calibration.tokens) // self.batch)
        peaks: dict[tuple[str, ...], np.ndarray] = {}
        for index, (inputs, counts) in enumerate(calibration.batches(self.names, self.batch)):
            progress("running the calibration text", index / runs)
            for found in self._run(inputs, counts):
                peak = np.abs(found.rows).max(axis=0)
                peaks[found.weights] = np.maximum(peak, peaks.get(found.weights, 0.0))
        return peaks

    def _run(
        self, inputs: Mapping[str, np.ndarray], counts: np.ndarray | None
    ) -> Iterator[LayerInput]:
        for tensor, values in zip(self._runner.inputs, self._runner.run(inputs), strict=True):
            rows = values.reshape(-1, values.shape[-1])
            # Anything that is not one row per token has no padding to leave out.
            live = rows[counts.ravel()] if counts is not None and len(rows) == counts.size else rows
            yield LayerInput(tensor.weights, live)
