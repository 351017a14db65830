"""Random inputs for an artifact, from its metadata alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.metadata import ArtifactMetadata


def random_inputs(
    metadata: ArtifactMetadata, seed: int = 0, shape: tuple[int, int] | None = None
) -> dict[str, np.ndarray[Any, Any]]:
    """Return inputs that the model accepts: ids within its vocabulary, nothing padded.

    Parameters
    ----------
    metadata : ArtifactMetadata
        For the inputs' names, shapes, dtypes and values.
    seed : int
        Seed of all inputs.
    shape : (int, int) or None
        Sequences and tokens, where the build takes any; None for a short text.

    Returns
    -------
    dict of str to numpy.ndarray
        One array per input. Images are standard normal.

    Raises
    ------
    ConfigError
        If the seed is negative, the build is not for the shape, or the metadata does not say what
        values an input takes.
    """
    model = ModelSpec(**metadata.spec["model"])
    model.check_shapes([] if shape is None else [shape])
    return inputs_of(metadata.inputs, shape or model.nominal, seed)


def inputs_of(
    specs: Iterable[TensorSpec], shape: tuple[int, int], seed: int = 0
) -> dict[str, np.ndarray[Any, Any]]:
    """Return inputs as `random_inputs` does, for their specs at a shape (batch, seq_len).

    Raises
    ------
    ConfigError
        If the seed is negative, or a spec does not say what values an input takes.
    """
    if seed < 0:
        raise ConfigError(f"seed {seed} given: it must be 0 or more")
    rng = np.random.default_rng(seed)
    return {spec.name: _random_input(spec.at(*shape), rng) for spec in specs}


def _random_input(spec: TensorSpec, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    if np.dtype(spec.dtype).kind == "f":
        return rng.standard_normal(spec.shape).astype(spec.dtype)
    if spec.name == "attention_mask":
        return np.ones(spec.shape, spec.dtype)
    if spec.below is None:
        raise ConfigError(
            f"the artifact's metadata does not say what values {spec} takes: run it with "
            "tvm_sparse.load and inputs of your own"
        )
    return rng.integers(0, spec.below, spec.shape).astype(spec.dtype)
