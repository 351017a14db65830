"""Artifacts of a small encoder made without TensorFlow: TVM's own pipeline is the reference."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from made_models import make_model
from relax_modules import (
    MOST_TOKENS,
    Arrays,
    default_build,
    evaluate,
    make_encoder,
    make_open_encoder,
    random_values,
)

from tvm_sparse.cache.store import Cache
from tvm_sparse.compiler.build_cache import CachedArtifact, build_artifact
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.formats.builds import build_spec
from tvm_sparse.ir.dense_layers import dense_layers
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.model.model import Reference
from tvm_sparse.progress import Progress, silent

OUTPUTS = ("last_hidden_state", "pooler_output")


@functools.cache
def encoder(num_layers: int, batch: int, seq_len: int, width: int):
    """Return a module, its weights, inputs with a padding mask, and its outputs."""
    mod = make_encoder(num_layers, batch, seq_len, width)
    inputs, params = random_values(mod)
    inputs["mask_ids"][:] = 1
    inputs["mask_ids"][:, -(seq_len // 4) :] = 0
    outputs = dict(zip(OUTPUTS, evaluate(mod, params, inputs), strict=True))
    return mod, params, inputs, outputs


def prune(params: Arrays, block_shape: tuple[int, int], density: float = 0.3) -> Arrays:
    """The weights with random blocks of the encoder's dense layers set to zero."""
    rng = np.random.default_rng(0)
    bs_r, bs_c = block_shape
    result = dict(params)
    for name, value in params.items():
        if name.startswith("encoder") and value.ndim == 2:
            depth, units = value.shape
            keep = rng.random((depth // bs_c, units // bs_r)) < density
            result[name] = value * np.kron(keep, np.ones((bs_c, bs_r), np.float32))
    return result


def build(
    cache: Path | Cache,
    name: str,
    model: tuple[tvm.IRModule, Arrays, Arrays, Arrays],
    *,
    params: Arrays | None = None,
    sparsity: SparsitySpec | None = None,
    key: str = "encoder",
    tolerances: tuple[float, float] = (1e-4, 1e-4),
    progress: Progress = silent,
    **spec: Any,
) -> CachedArtifact:
    """Build `model` into a cache; `params` are the weights to run with, its own by default."""
    mod, original, inputs, outputs = model
    imported = make_model(original, dense_layers(mod, original), mod, inputs, outputs, key=key)
    return build_artifact(
        replace(
            imported,
            params=original if params is None else params,
            sparsity=sparsity,
            cache=cache if isinstance(cache, Cache) else Cache(cache),
        ),
        build_spec(name),
        CompileSpec(**spec),
        tolerances=tolerances,
        progress=progress,
    )


#: Largest batch and length of `open_build`.
MOST = (9, MOST_TOKENS)


@functools.cache
def open_encoder():
    """Return an encoder of any batch and length, its weights, and what runs it at any of them."""
    mod = make_open_encoder(num_layers=1, width=64, heads=4)
    _, params = random_values(mod)
    run = default_build(mod)
    return mod, params, lambda inputs: dict(zip(OUTPUTS, run({**inputs, **params}), strict=True))


def open_build(cache: Path | Cache, name: str, sparsity: SparsitySpec | None = None) -> Path:
    """Return the artifact of an open encoder, checked at several shapes."""
    mod, original, run = open_encoder()
    params = original if sparsity is None else prune(original, sparsity.block_shape)
    runs = [
        (inputs, run(inputs))
        for batch, seq_len in ((1, 7), (3, 17), (1, MOST_TOKENS))
        for inputs in [random_values(mod, batch=batch, seq_len=seq_len)[0]]
    ]
    inputs = [TensorSpec(key, MOST, "int32", 2, axes=("batch", "seq_len")) for key in runs[0][0]]
    outputs = (
        TensorSpec(OUTPUTS[0], (*MOST, 64), "float32", axes=("batch", "seq_len", "")),
        TensorSpec(OUTPUTS[1], (MOST[0], 64), "float32", axes=("batch", "")),
    )
    spec = ModelSpec("made", batch=MOST[0], seq_len=MOST[1], micro_batch=MOST[0], is_open=True)
    model = make_model(original, dense_layers(mod, original), mod, spec=spec, key=f"open {name}")
    model = replace(
        model,
        facts=replace(model.facts, inputs=tuple(inputs), outputs=outputs),
        params=params,
        sparsity=sparsity,
        reference=Reference(original, *runs[0], others=tuple(runs[1:])),
        cache=cache if isinstance(cache, Cache) else Cache(cache),
    )
    return build_artifact(model, build_spec(name), CompileSpec()).directory
