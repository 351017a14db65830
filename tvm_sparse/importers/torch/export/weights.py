"""Give the parameters of a PyTorch model their weights: a checkpoint's, or seeded ones.

The weights of a checkpoint are read here for every importer alike, see decision record 0025.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tvm_sparse.errors import CheckpointError
from tvm_sparse.importers.random_weights import pruned_nonzeros, random_value
from tvm_sparse.importers.shape_faults import ShapeFault, describe_faults
from tvm_sparse.importers.torch.export.archive import prefix_of
from tvm_sparse.importers.torch.export.conversions import converted
from tvm_sparse.importers.torch.names import canonical_name
from tvm_sparse.model.facts import WeightGaps
from tvm_sparse.model.names import tensorflow_value, torch_value
from tvm_sparse.sources.weight import Weight

#: What is no weight: what modules count by, or compute once.
_BUFFERS = re.compile(r"(position_ids|token_type_ids|num_batches_tracked|inv_freq)$")
#: Embeddings that TensorFlow's classes keep in a layer of their own.
_OWN_LAYER = re.compile(r"/(position|token_type)_embeddings/weight$")


def assign_weights(model: Any, weights: Mapping[str, Weight]) -> WeightGaps:
    """Assign a checkpoint's weights to a model; parameters without one become NaN.

    Raises
    ------
    CheckpointError
        Weights have other shapes than their parameters, or one is not finite; or one is missing
        that may have another name, which the installed transformers does not tell.
    """
    prefix = str(getattr(model, "base_model_prefix", ""))
    known = {
        other for names, _ in _tensors(model) for n in names for other in _spellings(n, prefix)
    }
    strange = {name: weight for name, weight in weights.items() if name not in known}
    renamed, fault = converted(model, strange)
    weights = {n: w for n, w in weights.items() if n in known} | renamed
    used: set[str] = set()
    missing, faults = [], []
    for names, tensor in _tensors(model):
        spelled = [other for name in names for other in _spellings(name, prefix)]
        found = next((name for name in spelled if name in weights), None)
        used |= {name for name in spelled if name in weights}
        if found is None:
            if tensor.is_floating_point() and not _BUFFERS.search(names[0]):
                missing.append(names[0])
                tensor.fill_(float("nan"))
            continue
        weight = weights[found]
        if weight.shape != tuple(tensor.shape):
            faults.append(ShapeFault(weight.name, weight.shape, tuple(tensor.shape)))
        elif not faults:
            tensor.copy_(_tensor(weight.read_finite()))
    if faults:
        raise CheckpointError(describe_faults(faults))
    if missing and fault:
        raise CheckpointError(f"the checkpoint has no {missing[0]}, and {fault}")
    left = [name for name in weights if name not in used and not _BUFFERS.search(name)]
    return WeightGaps(tuple(missing), unused=tuple(left))


def assign_random(model: Any, seed: int, element_sparsity: float | None) -> None:
    """Assign seeded weights, those of the TensorFlow importer where it knows the model."""
    prefix = prefix_of(model)
    tensors = {_seeded_name(model, names[0], prefix): tensor for names, tensor in _tensors(model)}
    # Integers are computed: where things lie, as Swin's distances in windows.
    tensors = {
        name: t
        for name, t in tensors.items()
        if t.is_floating_point() and not _BUFFERS.search(name)
    }
    shapes = {
        name: tensorflow_value(name, np.broadcast_to(np.float32(0), tuple(t.shape))).shape
        for name, t in tensors.items()
    }
    nonzeros = {}
    if element_sparsity is not None:
        nonzeros = pruned_nonzeros(shapes, element_sparsity, seed)
    for name, tensor in tensors.items():
        value = random_value(name, shapes[name], seed, nonzeros.get(name))
        tensor.copy_(_tensor(torch_value(name, value)))


def _tensors(model: Any) -> Iterator[tuple[list[str], Any]]:
    """Iterate over parameters and persistent buffers, each with all names that it has."""
    names: dict[int, list[str]] = {}
    tensors = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(name)
        tensors[id(tensor)] = tensor
    for key, tensor in tensors.items():
        yield names[key], tensor.data


def _spellings(name: str, prefix: str) -> Iterator[str]:
    """Iterate over the names that a weight may have: a bare encoder's lack what a head has."""
    yield name
    if prefix:
        yield f"{prefix}.{name}"
        yield name.removeprefix(f"{prefix}.")


def _seeded_name(model: Any, name: str, prefix: str) -> str:
    """Return what TensorFlow calls a weight, which decides about its seeded values."""
    import torch

    own = canonical_name(name, prefix)
    module = model.get_submodule(name.rpartition(".")[0])
    stem, _, last = own.rpartition("/")
    if isinstance(module, torch.nn.LayerNorm):
        return f"{stem}/{'gamma' if last == 'weight' else 'beta'}"
    if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
        renamed = {"weight": "gamma", "bias": "beta"}
        renamed |= {"running_mean": "moving_mean", "running_var": "moving_variance"}
        return f"{stem}/{renamed.get(last, last)}"
    if last == "weight" and isinstance(module, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d):
        return f"{stem}/kernel"
    return f"{stem}/embeddings" if _OWN_LAYER.search(own) else own


def _tensor(value: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.array(value))
