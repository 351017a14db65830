"""Give the variables of a TensorFlow model the weights of a checkpoint, and say which have none.

transformers' own loader brings tensors into shape by reshaping, which takes a transposed one for
a right one, and leaves what it does not find at random values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tvm_sparse.errors import CheckpointError
from tvm_sparse.importers.shape_faults import ShapeFault, describe_faults
from tvm_sparse.importers.tensorflow.graphdef import variable_name
from tvm_sparse.model.names import tensorflow_value, torch_name, torch_value
from tvm_sparse.sources.weight import Weight

#: What is no weight: what PyTorch's modules count by, or compute once.
_BUFFERS = re.compile(r"(position_ids|token_type_ids|num_batches_tracked)$")
#: What may be stored twice, because a head's last layer is the table of embeddings.
TIED = re.compile(
    r"(decoder|vocab_projector|lm_head|word_embeddings)[./](weight|bias)$|predictions[./]bias$"
)


def assign_weights(model: Any, weights: Mapping[str, Weight]) -> tuple[list[str], list[str]]:
    """Assign weights to the variables of a built model.

    Parameters
    ----------
    model : keras.Model
        Built. Variables without a weight become NaN, so that whatever depends on them shows it.
    weights : mapping of str to Weight
        Of a checkpoint, by name.

    Returns
    -------
    missing : list of str
        Variables for which there is no weight, by the names that the checkpoint would have.
    unused : list of str
        Weights without a variable; copies of others are not among them.

    Raises
    ------
    CheckpointError
        Weights have other shapes than their variables, or one is not finite.
    """
    by_torch = not any("/" in name for name in weights)
    missing: list[str] = []
    faults: list[ShapeFault] = []
    used: dict[str, Weight] = {}
    for variable in model.variables:
        own, shape = variable_name(model, variable), tuple(variable.shape)
        names = list(_torch_names(model, own)) if by_torch else [own]
        name = next((name for name in names if name in weights), None)
        if name is None:
            missing.append(names[0])
            variable.assign(np.full(shape, np.nan))
            continue
        weight = used[name] = weights[name]
        wanted = (
            torch_value(own, np.broadcast_to(np.float32(0), shape)).shape if by_torch else shape
        )
        if _without_ones(weight.shape) != _without_ones(wanted):
            faults.append(ShapeFault(weight.name, weight.shape, wanted))
        elif not faults:
            value = weight.read_finite()
            value = tensorflow_value(own, value) if by_torch else value
            variable.assign(value.reshape(shape))
    if faults:
        raise CheckpointError(describe_faults(faults))
    left = [weight for name, weight in weights.items() if name not in used]
    return missing, [w.name for w in left if not _BUFFERS.search(w.name) and not _is_copy(w, used)]


def _torch_names(model: Any, own: str) -> Iterator[str]:
    """Iterate over the names that a variable's weight may have, the likeliest first."""
    # A few classes hold twice what PyTorch's hold once.
    rename = getattr(model, "tf_to_pt_weight_rename", lambda name: (name,))
    prefix = f"{model.base_model_prefix}."
    for name in rename(torch_name(own)):
        yield name
        # Bare encoders are saved without the name that they have under a head.
        yield name.removeprefix(prefix)
        # One parameter under two names, of which a file holds one or both.
        if TIED.search(name) and name.endswith(".bias"):
            stem = name.removesuffix("bias").removesuffix("decoder.")
            yield from (f"{stem}bias", f"{stem}decoder.bias")


def _without_ones(shape: tuple[int, ...]) -> list[int]:
    return [extent for extent in shape if extent != 1]


def _is_copy(weight: Weight, used: Mapping[str, Weight]) -> bool:
    return TIED.search(weight.name) is not None and any(
        other.shape == weight.shape and np.array_equal(other.read(), weight.read())
        for other in used.values()
    )
