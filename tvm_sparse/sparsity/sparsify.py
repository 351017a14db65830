"""Make the weights of the eligible layers sparse, as a spec asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.model.layer import Layer
from tvm_sparse.sparsity.decision import eligible_layers
from tvm_sparse.sparsity.patterns import fill_random, layer_rng
from tvm_sparse.sparsity.pruning import prune_magnitude


def sparsify(
    params: Mapping[str, NDArray[Any]],
    layers: Sequence[Layer],
    spec: SparsitySpec,
    keep_own_zeros: bool = False,
) -> dict[str, NDArray[Any]]:
    """Return the weights with those of the eligible layers filled or pruned.

    Parameters
    ----------
    params : mapping of str to numpy.ndarray
        All weights by name; neither the mapping nor an array is changed.
    layers : sequence of Layer
        All dense layers of the model; the blocks lie on (N, K) however a weight is stored.
    spec : SparsitySpec
        Method, block sparsity, block shape, seed and the choice of layers.
    keep_own_zeros : bool
        The model is sparse by its training: it is not filled at random. Magnitude pruning,
        which only adds zeros, is done if asked for.

    Returns
    -------
    dict of str to numpy.ndarray
        In the order of `params`; weights that stay as they are, are the same objects.

    Raises
    ------
    SparsityError
        A pattern matches no layer, the blocks divide none of the eligible layers, or a weight
        is missing.
    """
    refusals = eligible_layers(layers, spec.block_shape, spec.include, spec.exclude)
    changed = dict(params)
    if spec.prune == "none" or (spec.prune == "random" and keep_own_zeros):
        return changed
    for layer in layers:
        if refusals[layer.name]:
            continue
        weight = layer.load(params)
        if spec.prune == "magnitude":
            sparse = prune_magnitude(weight, spec.block_shape, spec.sparsity)
        else:
            rng = layer_rng(spec.seed, layer.canonical_name)
            sparse = fill_random(weight, spec.block_shape, spec.sparsity, rng)
        changed[layer.name] = layer.to_stored(sparse)
    return changed
