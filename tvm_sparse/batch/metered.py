"""A loaded model that counts what it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.loaded_model import LoadedModel
from tvm_sparse.text.batches import Outputs


class MeteredModel:
    """Runs a model, for whoever wants to know how much of it there was.

    Parameters
    ----------
    model : LoadedModel
        The model.

    Attributes
    ----------
    tokens : int
        Tokens of all runs, without padding.
    padding : int
        Tokens that were computed besides, see `LoadedModel.computed_tokens`.
    seconds : float
        Of all runs.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._ids = next(i.name for i in model.inputs if i.name == "input_ids")
        self.tokens = self.padding = 0
        self.seconds = 0.0

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Names, largest shapes and dtypes of the inputs."""
        return self._model.inputs

    def run(self, **inputs: Any) -> Outputs:
        """Run sequences of one length."""
        self._count([len(row) for row in inputs[self._ids]])
        began = time.perf_counter()
        outputs = self._model.run(**inputs)
        self.seconds += time.perf_counter() - began
        return outputs

    def run_ragged(self, sequences: Sequence[Any], **more: Sequence[Any]) -> list[Outputs]:
        """Run sequences of any lengths."""
        self._count([len(one) for one in sequences])
        began = time.perf_counter()
        outputs = self._model.run_ragged(sequences, **more)
        self.seconds += time.perf_counter() - began
        return outputs

    def _count(self, lengths: list[int]) -> None:
        tokens = sum(lengths)
        self.tokens += tokens
        self.padding += self._model.computed_tokens(lengths) - tokens
