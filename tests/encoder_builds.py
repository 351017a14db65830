"""Artifacts of a small encoder made without TensorFlow: TVM's own pipeline is the reference."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from relax_modules import Arrays, evaluate, make_encoder, random_values

from tvm_sparse.cache.store import Cache
from tvm_sparse.compiler.build_cache import CachedArtifact, build_artifact
from tvm_sparse.compiler.reference_check import Reference
from tvm_sparse.config import CompileSpec, ModelSpec, SparsitySpec
from tvm_sparse.model.facts import ModelFacts, TensorSpec, WeightsFacts
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


def facts(key: str, inputs: Arrays, outputs: Arrays) -> ModelFacts:
    """What the importer would say about the encoder."""

    def described(arrays: Arrays) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(n, value.shape, str(value.dtype)) for n, value in arrays.items())

    return ModelFacts(
        name="encoder",
        architecture="Encoder",
        task="encoder",
        config={},
        weights=WeightsFacts("random", key, "seeded", ""),
        inputs=described(inputs),
        outputs=described(outputs),
        spec=ModelSpec("encoder", batch=len(next(iter(inputs.values())))),
        versions={},
        key=key,
    )


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
    return build_artifact(
        cache if isinstance(cache, Cache) else Cache(cache),
        name,
        facts=facts(key, inputs, outputs),
        mod=mod,
        params=original if params is None else params,
        reference=Reference(original, inputs, outputs),
        sparsity=sparsity,
        spec=CompileSpec(**spec),
        tolerances=tolerances,
        progress=progress,
    )
