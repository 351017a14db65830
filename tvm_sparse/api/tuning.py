"""Tuning of a model's builds on this machine, and the proof that it was worth it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.api.builds import Builds, compile
from tvm_sparse.bench.disturbance import until_quiet
from tvm_sparse.bench.rounds import measure_rounds
from tvm_sparse.bench.worker_process import WorkerProcess
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.formats.builds import DENSE, SPARSE, build_spec
from tvm_sparse.host import threads_here
from tvm_sparse.model.model import Model
from tvm_sparse.progress import ShareProgress, silent, steps
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.tiles import Tiles
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.tuning.tune import products_of, tune_build
from tvm_sparse.tuning.tuned_build import TunedBuild, TunedProduct
from tvm_sparse.tuning.tuned_tiles import load_tiles, save_tiles


def tune(
    model: Model,
    *,
    builds: tuple[str, ...] = (DENSE.name, SPARSE.name),
    threads: int | None = None,
    bench: BenchSpec | None = None,
    progress: ShareProgress = silent,
) -> list[TunedBuild]:
    """Search the tiles of a model's builds on this machine, and remember those that pay.

    Tiles are searched from kernel to kernel; then the whole model is built with and without
    them, both are measured in turns, and only what made it faster is kept. `compile` uses it from
    then on, for this model and for others with the same shapes.

    Parameters
    ----------
    model : Model
        After `sparsify`, when a sparse build is to be tuned; after `quantize`, for what that finds.
    builds : tuple of str
        What to tune, as `compile` takes it.
    threads : int, optional
        Threads to run on; every core by default.
    bench : BenchSpec, optional
        How long to measure the whole model.
    progress : callable
        Receives a line of text and the finished share, 0..1.

    Raises
    ------
    ConfigError
        The sparse build of a model that was not sparsified.
    BuildError, PassError, SparsityError, CacheError
        See `errors`.
    """
    threads = threads_here(threads)
    spec, bench = CompileSpec(threads=threads), bench or BenchSpec()

    def say(line: str) -> None:
        progress(line, 0.0)

    records = Records(model.cache, say)
    known = load_tiles(records)
    before = compile(model, spec, builds=builds, progress=say)
    dense = before.directories.get(DENSE.name)
    if dense is None:
        only = (DENSE.name,)
        dense = compile(model, spec, builds=only, progress=say).directories[DENSE.name]
    shape = model.spec
    sequences = Setting.of(shape, threads).micro_batch
    passes = shape.batch // sequences
    calls = load_metadata(dense).calls
    products = products_of(calls, model.layers, sequences, shape.seq_len, passes)
    found: dict[str, list[TunedProduct]] = {}
    for name in builds:
        block_shape, density, build = None, 1.0, build_spec(name)
        if model.sparsity is not None and build.is_sparse:
            block_shape, density = model.sparsity.block_shape, _density(model)
        found[name] = tune_build(products, build, block_shape, density, threads, records, say)
    return _keep_what_pays(model, spec, bench, before, found, known, records, progress)


def _keep_what_pays(
    model: Model,
    spec: CompileSpec,
    bench: BenchSpec,
    before: Builds,
    found: Mapping[str, list[TunedProduct]],
    known: Tiles,
    records: Records,
    progress: ShareProgress,
) -> list[TunedBuild]:
    latency: dict[str, tuple[float, float]] = dict.fromkeys(found, (0.0, 0.0))
    rivals: dict[str, Path] = {}
    for name, products in found.items():
        tiles = known.updated(TunedBuild(name, tuple(products)).new_tiles)
        if tiles == known:
            continue
        after = compile(
            *(model, spec), builds=(name,), tiles=tiles, progress=lambda line: progress(line, 0.0)
        )
        rivals[name] = before.directories[name]
        rivals[f"tuned {name}"] = after.directories[name]
    if rivals:
        inputs, count = model.reference.inputs, threads_here(spec.threads)
        medians = _medians(rivals, inputs, count, bench, progress)
        for name in found:
            if name in medians:
                latency[name] = medians[name], medians[f"tuned {name}"]
    tuned = [TunedBuild(name, tuple(products), *latency[name]) for name, products in found.items()]
    for build in tuned:
        if build.is_kept:
            save_tiles(records, build.new_tiles)
    return tuned


def _medians(
    rivals: Mapping[str, Path],
    inputs: Mapping[str, np.ndarray[Any, Any]],
    threads: int,
    bench: BenchSpec,
    progress: ShareProgress,
) -> dict[str, float]:
    with contextlib.ExitStack() as stack:
        workers: dict[str, WorkerProcess] = {}
        for name, directory in rivals.items():
            progress(f"loading {name}", 0.0)
            workers[name] = stack.enter_context(WorkerProcess(directory, threads))
            workers[name].bind(inputs)
        measured, _ = until_quiet(lambda: measure_rounds(workers, bench, progress), steps(progress))
    return {name: float(np.median(taken.samples_ms)) for name, taken in measured.items()}


def _density(model: Model) -> float:
    """Return the usual density of the blocks in the layers that can run sparse."""
    from tvm_sparse.sparsity.decision import eligible_layers
    from tvm_sparse.sparsity.stats import block_sparsity

    assert model.sparsity is not None  # the caller has checked it
    spec = model.sparsity
    refusals = eligible_layers(model.layers, spec.block_shape, spec.include, spec.exclude)
    found = [
        1 - block_sparsity(layer.load(model.params), spec.block_shape)
        for layer in model.layers
        if not refusals[layer.name]
    ]
    return round(max(float(np.median(found)), 1e-3), 4) if found else 1.0
