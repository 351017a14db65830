"""Run tokenised texts through a model, and give back what it says of each.

How a build takes its inputs is known here alone: today it has one shape, to which texts are padded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import InputError
from tvm_sparse.model.facts import TensorSpec

#: Outputs of one text, without padding: (tokens, ...) or (...).
Outputs = dict[str, NDArray[Any]]

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
#: Outputs of two dimensions that have one number for each token.
_TOKEN_SCORES = ("start_logits", "end_logits")


class Runnable(Protocol):
    """What is needed of a loaded model."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Names, shapes and dtypes of its inputs."""

    def run(self, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return its outputs by name."""


class Batches:
    """Runs tokenised texts through a model of one shape.

    Parameters
    ----------
    model : LoadedModel
        A build.
    pad_id : int
        Id of the padding.
    token_types : bool
        Whether the model is told which text of a pair a token is from.

    Attributes
    ----------
    most_tokens : int
        Of one text, special ones included.

    Raises
    ------
    InputError
        The model takes something that is no text, or nothing that tells padding from words.
    """

    def __init__(self, model: Runnable, pad_id: int = 0, token_types: bool = True) -> None:
        self._model, self._pad_id, self._token_types = model, pad_id, token_types
        names = [spec.name for spec in model.inputs]
        unknown = [name for name in names if name not in _INPUTS]
        if unknown or "input_ids" not in names:
            raise InputError(f"the model takes {', '.join(names)}: give a model of texts")
        if "attention_mask" not in names:
            raise InputError(
                "the build takes input_ids alone, in which padding would be read as words: export "
                "the model with --inputs full"
            )
        self._batch, self.most_tokens = model.inputs[0].shape

    def run(self, encodings: Iterable[Any], at_once: int) -> Iterator[Outputs]:
        """Yield the outputs of one text after the other.

        Parameters
        ----------
        encodings : iterable of tokenizers.Encoding
            Of at most `most_tokens` tokens each.
        at_once : int
            How many in one run, where the build leaves the choice: one shape does not.
        """
        waiting = iter(encodings)
        while part := list(islice(waiting, self._batch)):
            outputs = self._model.run(**self._padded(part))
            for row, one in enumerate(part):
                yield {
                    name: _of_text(name, value[row], len(one.ids))
                    for name, value in outputs.items()
                }

    def _padded(self, encodings: list[Any]) -> dict[str, NDArray[Any]]:
        """Return the inputs of one run; rows that no text fills repeat the last one."""
        rows = [*encodings, *[encodings[-1]] * (self._batch - len(encodings))]
        shape = (self._batch, self.most_tokens)
        ids = np.full(shape, self._pad_id, np.int64)
        mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, one in enumerate(rows):
            length = len(one.ids)
            ids[row, :length], mask[row, :length] = one.ids, 1
            if self._token_types:
                types[row, :length] = one.type_ids
        values = dict(zip(_INPUTS, (ids, mask, types), strict=True))
        return {spec.name: values[spec.name].astype(spec.dtype) for spec in self._model.inputs}


def _of_text(name: str, value: NDArray[Any], length: int) -> NDArray[Any]:
    """Return one row of an output without its padding."""
    return value[:length] if value.ndim == 2 or name in _TOKEN_SCORES else value
