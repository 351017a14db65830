"""Prune the weights of a model, encoder layer by encoder layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod

import numpy as np

from tvm_sparse.model.layer import Layer
from tvm_sparse.model.model import Model
from tvm_sparse.progress import ShareProgress, silent
from tvm_sparse.pruning.calibration import Calibration
from tvm_sparse.pruning.moments import MomentCollector, stages
from tvm_sparse.pruning.report import LayerResult
from tvm_sparse.sparsity.bsr import block_grid
from tvm_sparse.sparsity.hessian import output_error
from tvm_sparse.sparsity.prune_layer import InputMoments, layer_scores, prune_layer
from tvm_sparse.sparsity.prune_spec import PruneSpec
from tvm_sparse.sparsity.schedule import by_scores
from tvm_sparse.sparsity.stats import block_sparsity, element_sparsity

Params = Mapping[str, np.ndarray]

_TEXT = "pruning layer by layer"
#: Share of a stage's time that its activations take, roughly.
_ACTIVATIONS = 0.3


def prune_params(
    model: Model,
    layers: Sequence[Layer],
    spec: PruneSpec,
    zeros: Mapping[str, int] | None,
    calibration: Calibration | None,
    collector: MomentCollector,
    progress: ShareProgress = silent,
) -> tuple[dict[str, np.ndarray], list[LayerResult]]:
    """Return all weights with those of the given layers pruned, and what became of each layer.

    Weights that stay as they are, are the same objects. `layers` are in the order of the model,
    `zeros` are blocks by layer, None with an N:M pattern, and all methods but magnitude need the
    calibration. `progress` receives a text and the finished share, 0..1. Raises InputError,
    SparsityError, PassError and BuildError, see `errors`.
    """
    changed = dict(model.params)
    collect = partial(_moments, collector, spec, calibration)
    moments: dict[str, InputMoments] = {}
    if spec.needs_activations and not spec.sequential:
        moments = collect(model.params, layers, progress)
    results: dict[str, LayerResult] = {}
    one = 1 / len(layers)
    for stage in stages(layers):
        done = len(results) * one
        used = 0.0
        if spec.needs_activations and spec.sequential:
            # The inputs as they are once everything further down is pruned.
            used = _ACTIVATIONS * len(stage) * one
            part = _part(progress, done, used)
            moments = collect(changed, stage, part)
        for place, layer in enumerate(stage):
            name = layer.name
            progress(_TEXT, done + used + (len(stage) * one - used) * place / len(stage))
            weight = layer.load(model.params)
            known = moments.get(name)
            pruned = prune_layer(weight, spec, zeros[name] if zeros is not None else None, known)
            changed[name] = layer.to_stored(pruned)
            results[name] = _result(layer, weight, pruned, spec, known)
    return changed, [results[layer.name] for layer in layers]


def global_zeros(
    model: Model,
    layers: Sequence[Layer],
    spec: PruneSpec,
    sparsity: float,
    calibration: Calibration | None,
    collector: MomentCollector,
    progress: ShareProgress = silent,
) -> dict[str, int]:
    """Return how many blocks of each layer go, by the scores of all their blocks together.

    `sparsity` is the share of all blocks to remove, 0..1; all else is as `prune_params` takes it,
    and so are the errors.
    """
    moments: dict[str, InputMoments] = {}
    scores = {}
    for stage in stages(layers):
        if spec.needs_activations:
            moments = _moments(collector, spec, calibration, model.params, stage, progress)
        for layer in stage:
            values = layer_scores(layer.load(model.params), spec, moments.get(layer.name))
            scores[layer.name] = values.astype(np.float32)
    return by_scores(scores, sparsity)


def block_counts(layers: Sequence[Layer], block_shape: tuple[int, int]) -> dict[str, int]:
    """Return the number of blocks of each layer, by name."""
    return {layer.name: prod(block_grid(layer.shape, block_shape)) for layer in layers}


def _moments(
    collector: MomentCollector,
    spec: PruneSpec,
    calibration: Calibration | None,
    params: Params,
    layers: Sequence[Layer],
    progress: ShareProgress,
) -> dict[str, InputMoments]:
    assert calibration is not None  # the caller loads it whenever the method needs it
    names = [layer.name for layer in layers]
    full = spec.method == "second-order"
    return collector.collect(params, names, calibration, full=full, progress=progress)


def _part(progress: ShareProgress, start: float, length: float) -> ShareProgress:
    """Return the progress of a part as progress of the whole, under one text."""
    return lambda _text, share: progress(_TEXT, start + length * share)


def _result(
    layer: Layer,
    weight: np.ndarray,
    pruned: np.ndarray,
    spec: PruneSpec,
    moments: InputMoments | None,
) -> LayerResult:
    blocks = block_counts([layer], spec.block_shape)[layer.name]
    zero_share = block_sparsity(pruned, spec.block_shape)
    hessian = moments.hessian if moments else None
    return LayerResult(
        weight=layer.canonical_name,
        shape=layer.shape,
        blocks=blocks,
        zero_blocks=round(zero_share * blocks),
        element_sparsity=element_sparsity(pruned),
        block_sparsity=zero_share,
        output_error=None if hessian is None else output_error(weight, pruned, hessian),
    )
