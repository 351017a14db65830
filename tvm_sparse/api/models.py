"""Models: load one, and make its weights sparse."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from tvm_sparse.cache.store import Cache
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.model.model import Model
from tvm_sparse.progress import Progress, silent


def load_model(
    model: str | os.PathLike[str] | ModelSpec,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
    for_texts: bool = False,
    **spec: Any,
) -> Model:
    """Import a model, or take it from the cache.

    Parameters
    ----------
    model : str, path or ModelSpec
        Preset name, hub id, local directory, `.pt2` or `.onnx` file; or a whole spec.
    cache_dir : path, optional
        Cache directory; by default $TVM_SPARSE_CACHE, then `cache`.
    progress : callable
        Receives one line a step.
    for_texts : bool
        Refuse a checkpoint without a tokenizer before the import.
    **spec
        Fields of `ModelSpec`: weights, batch, seq_len, seed, num_layers, inputs, micro_batch,
        importer, is_open (any batch and length up to those).

    Raises
    ------
    ConfigError, DependencyError, FrontendError, InputError, CacheError, BuildError
        See `errors`.
    """
    from tvm_sparse.importers import load_model as importer
    from tvm_sparse.importers.import_model import check_packages
    from tvm_sparse.sources.source import resolve_source

    model_spec = model if isinstance(model, ModelSpec) else ModelSpec(os.fspath(model), **spec)
    # Before a checkpoint is fetched.
    check_packages(model_spec)
    source = resolve_source(model_spec, progress)
    if for_texts:
        source.check_reads_texts()
    return importer.load_model(model_spec, Cache(cache_dir, on_warning=progress), progress, source)


def load_cached_model(
    key: str,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> Model:
    """Load an imported model by its key in the cache; nothing is imported anew.

    Parameters
    ----------
    key : str
        Key of an entry of kind `ir`, or the beginning of one.
    cache_dir : path, optional
        Cache directory; by default $TVM_SPARSE_CACHE, then `cache`.
    progress : callable
        Receives one line a step.

    Raises
    ------
    CacheError
        If no entry begins like that, or more than one does, or it is damaged.
    """
    from tvm_sparse.importers import load_model as importer

    return importer.load_cached_model(key, Cache(cache_dir, on_warning=progress), progress)


def sparsify(model: Model, spec: SparsitySpec | None = None, **fields: Any) -> Model:
    """Return the model with sparse weights.

    Parameters
    ----------
    model : Model
        As loaded, or pruned; not changed.
    spec : SparsitySpec, optional
        A whole spec.
    **fields
        Fields of `SparsitySpec`: sparsity, block_shape (that in which `prune` made the model's
        directory, if it did), sparsity_threshold, select, prune, seed, include, exclude.

    Raises
    ------
    ConfigError, SparsityError
        A value out of range, a pattern that matches nothing, a block that divides no layer.
    """
    from tvm_sparse.sources.presets import find_preset
    from tvm_sparse.sources.pruned_blocks import pruned_blocks
    from tvm_sparse.sparsity.decision import eligible_layers
    from tvm_sparse.sparsity.sparsify import sparsify as sparsify_params
    from tvm_sparse.sparsity.stats import come_pruned

    if spec is None:
        fields.setdefault("block_shape", pruned_blocks(model.spec.model) or (1, 1))
        spec = SparsitySpec(**fields)
    # Zeros of a pruned model are its own; those that were made up here make room for others.
    is_pruned = model.sparsity is not None and model.sparsity.prune == "none"
    own = model.params if is_pruned else model.reference.params
    preset = find_preset(model.spec.model)
    comes_pruned = preset is not None and preset.element_sparsity is not None
    if spec.prune == "auto":
        refusals = eligible_layers(model.layers, spec.block_shape, spec.include, spec.exclude)
        eligible = [layer for layer in model.layers if not refusals[layer.name]]
        comes_pruned = comes_pruned or come_pruned(layer.load(own) for layer in eligible)
        spec = replace(spec, prune="none" if comes_pruned else "random")
    params = sparsify_params(own, model.layers, spec, comes_pruned)
    return replace(model, params=params, sparsity=spec)
