"""A loaded model whose runs wait for a stream, and share it with those of other requests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tvm_sparse.config.micro_batches import MICRO_BATCH_TOKENS
from tvm_sparse.errors import InputError
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.serve.backends.backend import Build
from tvm_sparse.serve.lanes import Lane
from tvm_sparse.serve.streams import Streams
from tvm_sparse.serve.ticket import get_ticket

Outputs = dict[str, Any]
#: The inputs of one sequence, by name; ids alone make up its length.
_Sequence = dict[str, Any]


class QueuedModel:
    """Runs a model when a stream is free; what calls it is one of many threads.

    Parameters
    ----------
    model : Build
        The model.
    streams : Streams
        Shared by all models.
    delay_s : float
        Seconds to wait for sequences that could share a run.

    Attributes
    ----------
    together, alone : Lane
        Runs of sequences, and of rectangles.
    """

    def __init__(self, model: Build, streams: Streams, delay_s: float = 0.0) -> None:
        self._model, self._streams = model, streams
        self._ids = model.inputs[0].name
        most = model.inputs[0].shape[0] if model.inputs[0].shape else 1
        # Of the model alone: what a lane holds must not hold the lane, so that a model that is
        # replaced goes with its last request.
        self.together: Lane[_Sequence, Outputs] = Lane(
            partial(_run_sequences, model, self._ids),
            partial(_length, self._ids),
            most,
            MICRO_BATCH_TOKENS,  # more makes a run no faster, only later
            delay_s,
            tokens=partial(_tokens_of_sequences, model, self._ids),
            own_threads=model.own_threads,
        )
        self.alone: Lane[_Sequence, Outputs] = Lane(
            partial(_run_rectangles, model),
            _no_length,
            tokens=partial(_tokens_of_rectangles, model, self._ids),
            own_threads=model.own_threads,
        )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Names, largest shapes and dtypes of the inputs."""
        return self._model.inputs

    def run(self, **inputs: Any) -> Outputs:
        """Run inputs (batch, tokens) as they are, by themselves."""
        (outputs,) = self._streams.submit(self.alone, [inputs], get_ticket())
        return outputs

    def run_ragged(self, sequences: Sequence[Any], **more: Sequence[Any]) -> list[Outputs]:
        """Run sequences of different lengths, together with those that wait beside them.

        Raises
        ------
        InputError
            See `LoadedModel.run_ragged`.
        Refusal
            The request is too late, or nobody waits for its answer.
        """
        rows = [
            {self._ids: one, **{name: values[index] for name, values in more.items()}}
            for index, one in enumerate(sequences)
        ]
        results: list[Outputs] = []
        most = self.together.most_items
        for start in range(0, len(rows), most):
            part = rows[start : start + most]
            results += self._streams.submit(self.together, part, get_ticket())
        return results


def _length(ids: str, one: _Sequence) -> int:
    return len(one[ids])


def _no_length(_inputs: _Sequence) -> int:
    return 0


def _run_sequences(model: Build, ids: str, rows: list[_Sequence], threads: int) -> list[Outputs]:
    names = {name for row in rows for name in row} - {ids}
    if any(len(row) != len(names) + 1 for row in rows):
        raise InputError("sequences with different inputs cannot share a run")
    more = {name: [row[name] for row in rows] for name in names}
    return model.on(threads).run_ragged([row[ids] for row in rows], **more)


def _run_rectangles(model: Build, calls: list[_Sequence], threads: int) -> list[Outputs]:
    return [model.on(threads).run(**inputs) for inputs in calls]


def _tokens_of_sequences(model: Build, ids: str, rows: list[_Sequence]) -> tuple[int, int]:
    return _tokens(model, [len(row[ids]) for row in rows])


def _tokens_of_rectangles(model: Build, ids: str, calls: list[_Sequence]) -> tuple[int, int]:
    shapes = [np.shape(inputs[ids]) for inputs in calls if ids in inputs]
    most = model.inputs[0].shape  # more is refused
    taken = [shape for shape in shapes if len(shape) == 2 and shape[0] <= most[0]]
    return _tokens(model, [tokens for count, tokens in taken for _ in range(count)])


def _tokens(model: Build, lengths: list[int]) -> tuple[int, int]:
    """Return the tokens of sequences, and how many more are computed."""
    tokens = sum(lengths)
    return tokens, model.computed_tokens(lengths) - tokens
