"""Find the tensors of a checkpoint that hold a model's weights, by name and by value."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tvm_sparse.errors import CheckpointError
from tvm_sparse.model.names import torch_name, torch_value
from tvm_sparse.sources.stored_tensors import StoredTensor


@dataclass(frozen=True)
class FoundTensor:
    """A tensor that holds a weight of TensorFlow's name, `turned` if in PyTorch's order of axes."""

    tensor: StoredTensor
    weight: str
    turned: bool

    def stored(self, value: np.ndarray) -> np.ndarray:
        """Return a value of the weight, as imported, in the order in which it is stored."""
        return torch_value(self.weight, value) if self.turned else value


def changed_names(original: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> list[str]:
    """Return the weights whose values are not what they were."""
    return [
        name
        for name, value in new.items()
        if value is not original[name] and not np.array_equal(value, original[name])
    ]


def find_tensors(
    tensors: Sequence[StoredTensor], original: Mapping[str, np.ndarray], names: Collection[str]
) -> list[FoundTensor]:
    """Find the tensor that holds each of the weights `names`.

    A tensor is taken only if its values are the original ones, as imported, and none twice: layer
    norms that start out alike are told apart by their names. Where no tensor is a weight, rows of
    one may be: queries, keys and values are stored as one tensor by some.

    Raises
    ------
    CheckpointError
        No tensor holds these values.
    """
    left: dict[tuple[int, ...], list[StoredTensor]] = {}
    for tensor in tensors:
        left.setdefault(tuple(sorted(tensor.shape)), []).append(tensor)
    parts: dict[tuple[int, ...], list[StoredTensor]] = {}
    found = []
    for name in names:
        value = original[name]
        candidates = left.get(tuple(sorted(value.shape)), [])
        # Those whose names end alike first; the values decide.
        candidates.sort(key=lambda tensor: -_likeness(tensor.name, name))
        match = next((hit for tensor in candidates for hit in _holding(tensor, name, value)), None)
        if match is None:
            rows, width = torch_value(name, value).shape[0], torch_value(name, value).shape[1:]
            candidates = parts.setdefault(
                (rows, *width),
                [p for t in tensors if t.shape[1:] == width for p in t.parts(rows) if p != t],
            )
            match = next((hit for one in candidates for hit in _holding(one, name, value)), None)
        if match is None:
            raise CheckpointError(
                f"no tensor of the checkpoint holds the weight {name}: looked for "
                f"{torch_name(name)} of shape {'x'.join(map(str, torch_value(name, value).shape))}"
            )
        candidates.remove(match.tensor)
        found.append(match)
    return found


def _likeness(tensor: str, weight: str) -> int:
    """Count the parts that two names have in common at their ends, whoever wrote the tensor's."""
    theirs = torch_name(tensor.partition(":")[0].replace(".", "/")).split(".")
    ours = torch_name(weight).split(".")
    pairs = zip(reversed(ours), reversed(theirs), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))


def _holding(tensor: StoredTensor, name: str, value: np.ndarray) -> Iterator[FoundTensor]:
    stored = tensor.read().astype(value.dtype)
    for turned in (True, False):
        found = FoundTensor(tensor, name, turned)
        if np.array_equal(stored, found.stored(value)):
            yield found
