"""Find the tensors of a checkpoint that hold a model's weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from tvm_sparse.errors import CheckpointError
from tvm_sparse.model.layer import Layer
from tvm_sparse.pruning.tensor_file import StoredTensor

_LAYER_NUMBER = re.compile(r"_\._")
_LAST_PART = {
    "kernel": "weight",
    "weights": "weight",
    "embeddings": "weight",
    "gamma": "weight",
    "beta": "bias",
}


def checkpoint_name(name: str) -> str:
    """Return a weight's name as PyTorch's transformers write it, with TensorFlow's prefix.

    `bert/encoder/layer_._0/attention/self/query/kernel` gives
    `bert.encoder.layer.0.attention.self.query.weight`.
    """
    parts = _LAYER_NUMBER.sub("/", name.removesuffix(".T")).replace("___", "/").split("/")
    return ".".join([*parts[:-1], _LAST_PART.get(parts[-1], parts[-1])])


def find_tensors(
    tensors: Sequence[StoredTensor],
    layers: Sequence[Layer],
    params: Mapping[str, np.ndarray],
) -> dict[str, tuple[StoredTensor, bool]]:
    """Find for every layer the tensor that holds its weight, by name and by value.

    Parameters
    ----------
    tensors : sequence of StoredTensor
        Of the checkpoint the model was imported from.
    layers : sequence of Layer
        The layers.
    params : mapping of str to ndarray
        Their weights as imported: a tensor is taken only if its values are these.

    Returns
    -------
    dict of str to (StoredTensor, bool)
        By layer; True when the tensor is stored (K, N).

    Raises
    ------
    CheckpointError
        No tensor holds these values.
    """
    by_shape: dict[frozenset[int], list[StoredTensor]] = {}
    for tensor in tensors:
        if len(tensor.shape) == 2:
            by_shape.setdefault(frozenset(tensor.shape), []).append(tensor)
    found = {}
    for layer in layers:
        weight = layer.load(params)
        candidates = by_shape.get(frozenset(layer.shape), [])
        # Those whose names end alike first; the values decide.
        ranked = sorted(candidates, key=lambda tensor: -_likeness(tensor.name, layer.name))
        match = next((hit for t in ranked if (hit := _matches(t, weight)) is not None), None)
        if match is None:
            raise CheckpointError(
                f"no tensor of the checkpoint holds the weight {layer.canonical_name}: looked for "
                f"{checkpoint_name(layer.name)} of shape {layer.shape[0]}x{layer.shape[1]}"
            )
        found[layer.name] = match
    return found


def _likeness(tensor: str, weight: str) -> int:
    """Count the parts that two names have in common at their ends."""
    ours = checkpoint_name(weight).split(".")
    theirs = (checkpoint_name(tensor.partition(":")[0]) if "/" in tensor else tensor).split(".")
    count = 0
    for one, other in zip(reversed(ours), reversed(theirs), strict=False):
        if one != other:
            break
        count += 1
    return count


def _matches(tensor: StoredTensor, weight: np.ndarray) -> tuple[StoredTensor, bool] | None:
    values = tensor.read().astype(weight.dtype)
    if values.shape == weight.shape and np.array_equal(values, weight):
        return tensor, False
    if values.shape == weight.shape[::-1] and np.array_equal(values.T, weight):
        return tensor, True
    return None
