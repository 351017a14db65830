"""Find the tensors of a checkpoint that hold weights beside those of the pruned layers.

Training changes biases and layer norms too. They are found as the layers are: by value, and of
several with the same values by name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from tvm_sparse.errors import CheckpointError
from tvm_sparse.pruning.tensor_file import StoredTensor
from tvm_sparse.pruning.tensor_names import checkpoint_name


def changed_names(
    original: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray], known: Collection[str]
) -> list[str]:
    """Return the weights outside of `known` whose values are not what they were."""
    return [
        name
        for name, value in new.items()
        if name not in known
        and value is not original[name]
        and not np.array_equal(value, original[name])
    ]


def find_changed(
    tensors: Sequence[StoredTensor], original: Mapping[str, np.ndarray], names: Sequence[str]
) -> dict[str, tuple[StoredTensor, bool]]:
    """Find the tensor that holds each of some weights.

    Parameters
    ----------
    tensors : sequence of StoredTensor
        Of the checkpoint.
    original : mapping of str to ndarray
        The weights as imported: a tensor is taken only if its values are these.
    names : sequence of str
        The weights to find.

    Returns
    -------
    dict of str to (StoredTensor, bool)
        By weight; True when the tensor is stored transposed.

    Raises
    ------
    CheckpointError
        No tensor holds these values.
    """
    left = list(tensors)
    found = {}
    for name in names:
        value = original[name]
        shapes = {value.shape, value.shape[::-1]}
        candidates = [tensor for tensor in left if tensor.shape in shapes]
        candidates.sort(key=lambda tensor: -_shared_parts(tensor.name, name))
        match = next((t for t in candidates if _holds(t, value) is not None), None)
        if match is None:
            raise CheckpointError(
                f"no tensor of the checkpoint holds the weight {name}: looked for "
                f"{checkpoint_name(name)} of shape {'x'.join(map(str, value.shape))}"
            )
        # Each tensor once: layer norms that start out alike are told apart by their names.
        left.remove(match)
        found[name] = match, bool(_holds(match, value))
    return found


def _shared_parts(tensor: str, weight: str) -> int:
    """Count the parts that two names have in common at their ends, `gamma` being a `weight`."""
    ours, theirs = (
        checkpoint_name(name.replace(".", "/")).split(".")[::-1]
        for name in (checkpoint_name(weight), tensor.partition(":")[0])
    )
    different = (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
    return next(different, min(len(ours), len(theirs)))


def _holds(tensor: StoredTensor, value: np.ndarray) -> bool | None:
    """Return whether a tensor holds a weight transposed, None if it does not hold it."""
    stored = tensor.read().astype(value.dtype)
    if stored.shape == value.shape and np.array_equal(stored, value):
        return False
    transposed = value.ndim == 2 and stored.shape == value.shape[::-1]
    return True if transposed and np.array_equal(stored.T, value) else None
