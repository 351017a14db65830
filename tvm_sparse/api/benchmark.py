"""Benchmarks: how long builds take, side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tvm_sparse.api.builds import Builds
from tvm_sparse.config.bench import BenchSpec, bench_spec
from tvm_sparse.errors import ConfigError
from tvm_sparse.model.model import Arrays
from tvm_sparse.progress import ShareProgress, silent

if TYPE_CHECKING:
    from tvm_sparse.bench.record import BenchRecord


def benchmark(
    builds: Builds | Mapping[str, str | os.PathLike[str]],
    spec: BenchSpec | None = None,
    *,
    inputs: Arrays | None = None,
    threads: int | None = None,
    profile_repeats: int = 0,
    progress: ShareProgress = silent,
    **fields: Any,
) -> BenchRecord:
    """Measure builds side by side.

    Parameters
    ----------
    builds : Builds or mapping of str to path
        What `compile` returned, or artifact directories under `dense` and `sparse`.
    spec : BenchSpec, optional
        A whole spec.
    inputs : mapping of str to numpy.ndarray, optional
        Inputs to run; by default the model's reference inputs.
    threads : int, optional
        Threads to run on; every core by default.
    profile_repeats : int
        Runs over which each kernel call is timed besides; 0 for none.
    progress : callable
        Receives a line of text and the finished share, 0..1.
    **fields
        As `bench_spec` takes them: time_s, iterations, warmup_s, streams.

    Raises
    ------
    ConfigError
        There are fewer cores than streams.
    ArtifactError, InputError, BuildError
        See `errors`.
    """
    from tvm_sparse.bench.runner import benchmark as run

    directories = builds.directories if isinstance(builds, Builds) else builds
    if inputs is None:
        if not isinstance(builds, Builds):
            raise ConfigError("no inputs given: pass inputs={name: array}")
        inputs = builds.model.reference.inputs
    record = run(
        directories,
        inputs,
        spec or bench_spec(**fields),
        threads,
        profile_repeats=profile_repeats,
        progress=progress,
    )
    return replace(record, check=builds.check) if isinstance(builds, Builds) else record


def inputs_at(builds: Builds, shape: tuple[int, int] | None, seed: int = 0) -> Arrays:
    """Return inputs for builds at a shape (batch, seq_len); None for the model's reference inputs.

    Raises
    ------
    ConfigError
        The builds are not for the shape.
    """
    from tvm_sparse.bench.inputs import random_inputs
    from tvm_sparse.runtime.metadata import load_metadata

    if shape is None:
        return builds.model.reference.inputs
    return random_inputs(load_metadata(next(iter(builds.directories.values()))), seed, shape)
