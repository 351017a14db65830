"""Run tokenised texts through a model, and give back what it says of each.

How a build takes its inputs is known here alone: the model runs texts of different lengths
together, padded if it has one shape and as they are if it has any, and takes so many at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from tvm_sparse.errors import InputError
from tvm_sparse.model.facts import TensorSpec

#: Outputs of one text, without padding: (tokens, ...) or (...).
Outputs = dict[str, NDArray[Any]]

_IDS, _MASK, _TYPES = "input_ids", "attention_mask", "token_type_ids"
#: Tokens with which a run is as fast as it gets; activations take memory for those of the largest.
_ENOUGH_TOKENS = 2048


class Runnable(Protocol):
    """What is needed of a loaded model."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Names, largest shapes and dtypes of its inputs."""

    def run(self, **inputs: Any) -> Outputs:
        """Return the outputs of sequences of one length."""

    def run_ragged(self, sequences: Sequence[Any], **more: Sequence[Any]) -> list[Outputs]:
        """Return the outputs of each of some sequences of any lengths."""


class Batches:
    """Runs tokenised texts through a model.

    Parameters
    ----------
    model : LoadedModel
        A build.
    token_types : bool
        Whether the model is told which text of a pair a token is from.
    together : bool
        Whether texts of different lengths may share a run.

    Attributes
    ----------
    most_tokens : int
        Of one text, special ones included.

    Raises
    ------
    InputError
        The model takes something that is no text.
    """

    def __init__(self, model: Runnable, token_types: bool = True, together: bool = True) -> None:
        names = [spec.name for spec in model.inputs]
        if _IDS not in names or not {*names} <= {_IDS, _MASK, _TYPES}:
            raise InputError(f"the model takes {', '.join(names)}: give a model of texts")
        self._model, self._together = model, together
        self._types = token_types and _TYPES in names
        self._most_texts, self.most_tokens = model.inputs[names.index(_IDS)].shape

    def run(self, encodings: Iterable[Any], at_once: int) -> Iterator[Outputs]:
        """Yield the outputs of one text after the other.

        Parameters
        ----------
        encodings : iterable of tokenizers.Encoding
            Of at most `most_tokens` tokens each.
        at_once : int
            How many in one run, if the build takes so many; fewer where they are long.
        """
        for part in _parts(encodings, min(at_once, self._most_texts)):
            ids = [one.ids for one in part]
            more = {_TYPES: [one.type_ids for one in part]} if self._types else {}
            if self._together:
                yield from self._model.run_ragged(ids, **more)
                continue
            for row in range(len(part)):
                inputs = {name: values[row : row + 1] for name, values in more.items()}
                outputs = self._model.run(**{_IDS: ids[row : row + 1]}, **inputs)
                yield {name: value[0] for name, value in outputs.items()}


def _parts(encodings: Iterable[Any], at_once: int) -> Iterator[list[Any]]:
    """Yield texts that share a run: at most so many, and no more tokens than are enough."""
    part: list[Any] = []
    tokens = 0
    for one in encodings:
        if part and (len(part) == at_once or tokens + len(one.ids) > _ENOUGH_TOKENS):
            yield part
            part, tokens = [], 0
        part.append(one)
        tokens += len(one.ids)
    if part:
        yield part
