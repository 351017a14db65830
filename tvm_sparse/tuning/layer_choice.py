"""Decide for every layer by its times on this machine whether it runs sparse.

`model` predicts them: each shape is timed once, dense and at a few densities, and kept in the
cache. `measure` times the very weights of every layer. Both time the dense kernel on the token
tiles that the sparse build has, next to which it would run.

Query, key and value of one encoder layer decide together where they are of one shape: they run as
one product if they run alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_sparse.errors import ConfigError
from tvm_sparse.formats.builds import SPARSE, BuildSpec
from tvm_sparse.formats.registry import target_of, weights_of, widened
from tvm_sparse.host import threads_here
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.model.layer import Layer
from tvm_sparse.model.model import Model
from tvm_sparse.model.quantization import Quantization
from tvm_sparse.progress import Progress, silent
from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.sparsity.decision import LayerChoice, eligible_layers
from tvm_sparse.sparsity.stats import block_sparsity
from tvm_sparse.target import resolve_target
from tvm_sparse.tuning.calibrate import measured_kernels
from tvm_sparse.tuning.kernel_fit import KernelFit
from tvm_sparse.tuning.kernel_job import KernelJob, build_kernel
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.tuning.tuned_tiles import load_tiles

if TYPE_CHECKING:
    from tvm_sparse.bench.product_kernel import ProductKernel
    from tvm_sparse.config.compile import CompileSpec
    from tvm_sparse.tiles import Tiles

Arrays = Mapping[str, "np.ndarray[Any, Any]"]

#: Of each kernel, in turns with its rival.
_ROUNDS, _SECONDS_PER_ROUND = 3, 0.02
#: Roles whose layers read the same data.
_ONE_PRODUCT = ("query", "key", "value")


@dataclass(frozen=True)
class Rivals:
    """The two kernels that may run a layer."""

    sparse: KernelJob
    dense: KernelJob


@dataclass(frozen=True)
class LayerTimes:
    """The times of a layer's two kernels, and the block sparsity 0..1 of its weight."""

    sparse_ms: float
    dense_ms: float
    block_sparsity: float


def choose_layers(
    model: Model,
    compile_spec: CompileSpec,
    records: Records,
    progress: Progress = silent,
    build: BuildSpec = SPARSE,
) -> dict[str, LayerChoice]:
    """Decide for the eligible layers, by canonical name, which run sparse.

    Parameters
    ----------
    model : Model
        After `sparsify`: its sparsity says the block shape, the choice of layers and `select`.
    compile_spec : CompileSpec
        Target and threads.
    records, progress
        Keeps what is timed; receives one line a step.
    build : BuildSpec
        Of whose formats times are predicted. What is measured are weights of float32, whichever.

    Returns
    -------
    dict of str to LayerChoice
        Empty where the threshold decides.

    Raises
    ------
    ConfigError
        Times are asked for of a machine that is not this one.
    BuildError
        If timing fails.
    """
    same = _is_timed_here(compile_spec.target, build)
    layers, params, sparsity = model.layers, model.params, model.sparsity
    assert sparsity is not None  # the caller has checked it
    method = sparsity.select
    if method == "auto":
        method = "model" if sparsity.sparsity_threshold is None and same else "threshold"
    if method == "threshold":
        return {}
    if not same:
        raise ConfigError(
            f"--select {method} given for {compile_spec.target}: only builds for this machine can "
            "be timed here; use --select threshold"
        )
    refusals = eligible_layers(layers, sparsity.block_shape, sparsity.include, sparsity.exclude)
    eligible = [layer for layer in layers if not refusals[layer.name]]
    setting = Setting.of(model.spec, threads_here(compile_spec.threads))
    blocks = sparsity.block_shape
    if method == "measure":
        return _decide(_measured(eligible, params, blocks, setting, records, progress), "measured")
    known = model.quantization or Quantization()
    num_weights = sum(layer.shape[0] * layer.shape[1] for layer in eligible)
    jobs = {}
    for layer in eligible:
        dtype = weights_of(build, is_sparse=False).dtype
        job = _job(layer, blocks, setting)
        job = replace(job, num_weights=num_weights, layout_dtype=dtype)
        run_by = widened(build) if layer.canonical_name in known.wide else build
        run_by = SPARSE if layer.canonical_name in known.kept else run_by
        # The dense one next to the sparse ones, so in their token layout.
        kernels = (build_kernel(facts, run_by) for facts in (job.kernel, job.kernel.as_dense()))
        jobs[layer] = Rivals(*(replace(job, kernel=kernel) for kernel in kernels))
    return _decide(
        _predicted(jobs, params, blocks, setting.threads, records, progress), "predicted"
    )


def _is_timed_here(target: str, build: BuildSpec) -> bool:
    """Whether a build for a target has the kernels whose times this machine tells."""
    here, there = (target_of(build, resolve_target(name)) for name in ("native", target))
    return (here.isa, here.extensions) == (there.isa, there.extensions)


def _decide(times: Mapping[Layer, LayerTimes], how: str) -> dict[str, LayerChoice]:
    groups: dict[Any, list[Layer]] = {}
    for layer in times:
        key = (layer.block, layer.shape) if layer.role in _ONE_PRODUCT else layer
        groups.setdefault(key, []).append(layer)
    choices = {}
    for group in groups.values():
        sparse_ms = sum(times[layer].sparse_ms for layer in group)
        dense_ms = sum(times[layer].dense_ms for layer in group)
        together = f" for {len(group)} layers together" if len(group) > 1 else ""
        for layer in group:
            choices[layer.canonical_name] = LayerChoice(
                sparse_ms < dense_ms,
                f"{how} {sparse_ms:.3g} ms sparse, {dense_ms:.3g} ms dense{together}, at block "
                f"sparsity {times[layer].block_sparsity:.3g}",
            )
    return choices


def _predicted(
    jobs: Mapping[Layer, Rivals],
    params: Arrays,
    block_shape: tuple[int, int],
    threads: int,
    records: Records,
    progress: Progress,
) -> dict[Layer, LayerTimes]:
    wanted = [job for rivals in jobs.values() for job in (rivals.sparse, rivals.dense)]
    times = measured_kernels(records, wanted, threads, progress)
    found = {}
    for layer, rivals in jobs.items():
        sparsity = block_sparsity(layer.load(params), block_shape)
        sparse_ms = KernelFit.from_times(times[rivals.sparse]).at(1 - sparsity)
        found[layer] = LayerTimes(sparse_ms, times[rivals.dense][1.0], sparsity)
    return found


def _job(layer: Layer, block_shape: tuple[int, int], setting: Setting) -> KernelJob:
    units, depth = layer.shape
    tokens = layer.flops // (2 * units * depth)
    return KernelJob(
        KernelFacts("sparse_dense", units, depth, block_shape, Epilogue(bias=True)),
        setting.micro_batch,
        max(1, tokens // setting.batch),
        layout_rows=block_shape[0],
        is_open=setting.is_open,
    )


@dataclass(frozen=True)
class RaceTimes:
    """What is kept of a race of a weight's two kernels, in milliseconds."""

    sparse_ms: float
    dense_ms: float


def _measured(
    layers: Sequence[Layer],
    params: Arrays,
    block_shape: tuple[int, int],
    setting: Setting,
    records: Records,
    progress: Progress,
) -> dict[Layer, LayerTimes]:
    found = {}
    rivals: dict[Any, ProductKernel] = {}
    tiles = load_tiles(records)
    for layer in layers:
        weight = np.ascontiguousarray(layer.load(params))
        job = _job(layer, block_shape, setting)
        tokens = job.batch * job.seq_len
        identity = {
            "weight": hashlib.sha256(weight.tobytes()).hexdigest(),
            "shape": list(weight.shape),
            "tokens": tokens,
            "block_shape": list(block_shape),
            "threads": setting.threads,
            "tiles": asdict(tiles),
            "code": code_fingerprint("layer"),
        }
        times = records.load("layer", identity, RaceTimes)
        if times is None:
            progress(f"timing {layer.canonical_name}")
            times = _race(weight, tokens, block_shape, setting.threads, tiles, rivals)
            records.save("layer", identity, times)
        found[layer] = LayerTimes(
            times.sparse_ms, times.dense_ms, block_sparsity(weight, block_shape)
        )
    return found


def _race(
    weight: np.ndarray[Any, Any],
    tokens: int,
    block_shape: tuple[int, int],
    threads: int,
    tiles: Tiles,
    rivals: dict[Any, ProductKernel],
) -> RaceTimes:
    """Time the two kernels of a weight in turns; a dense one serves all layers of its shape."""
    from tvm_sparse.bench.product_kernel import build_product
    from tvm_sparse.runtime.crew import on_threads

    key = (weight.shape, tokens)
    if key not in rivals:
        rivals[key] = build_product(weight, tokens, block_shape, False, tiles)
    kernels = {
        "sparse_ms": build_product(weight, tokens, block_shape, tiles=tiles),
        "dense_ms": rivals[key],
    }
    data = np.random.default_rng(0).standard_normal((tokens, weight.shape[1]), np.float32)
    rounds: dict[str, list[float]] = {name: [] for name in kernels}

    def take_turns() -> None:
        # The first round brings the clock up, and is not counted.
        for _ in range(_ROUNDS + 1):
            for name, kernel in kernels.items():
                rounds[name].append(kernel.measure_ms(data, _SECONDS_PER_ROUND))

    on_threads(threads, take_turns)
    return RaceTimes(**{name: float(np.median(times[1:])) for name, times in rounds.items()})
