"""Decide for every layer by its times on this machine whether it runs sparse.

`model` predicts them: each shape is timed once, dense and at a few densities, and kept in the
cache. `measure` times the very weights of every layer. Both time the dense kernel on the token
tiles that the sparse build has, next to which it would run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_sparse.config import micro_batch
from tvm_sparse.errors import ConfigError
from tvm_sparse.sparsity.decision import LayerChoice, eligible_layers
from tvm_sparse.sparsity.layers import LayerWeight
from tvm_sparse.sparsity.stats import block_sparsity
from tvm_sparse.target import detect_host, resolve_target
from tvm_sparse.tuning.calibrate import measured_kernels
from tvm_sparse.tuning.kernel_fit import KernelFit
from tvm_sparse.tuning.kernel_job import KernelJob
from tvm_sparse.tuning.records import KERNEL_CODE, Records, code_fingerprint

if TYPE_CHECKING:
    from tvm_sparse.config import CompileSpec, ModelSpec, SparsitySpec

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
Progress = Callable[[str], None]

_SECONDS_PER_LAYER = 0.05


@dataclass(frozen=True)
class Setting:
    """How a build runs: what the times of its layers depend on.

    Parameters
    ----------
    batch, micro_batch : int
        Sequences of an inference, and of one pass through the model.
    threads : int
        Threads.
    """

    batch: int
    micro_batch: int
    threads: int


def choose_layers(
    layers: Sequence[LayerWeight],
    params: Arrays,
    sparsity: SparsitySpec,
    model: ModelSpec,
    compile_spec: CompileSpec,
    records: Records,
    progress: Progress = lambda line: None,
) -> dict[str, LayerChoice]:
    """Decide for the eligible layers, by name, which run sparse.

    Parameters
    ----------
    layers : sequence of LayerWeight
        All dense layers of a model.
    params : mapping of str to numpy.ndarray
        Their stored weights.
    sparsity : SparsitySpec
        Block shape, layer choice and `select`.
    model : ModelSpec
        Batch and sequence length.
    compile_spec : CompileSpec
        Target and threads.
    records : Records
        Keeps what is timed.
    progress : callable
        Receives one line a step.

    Returns
    -------
    dict of str to LayerChoice
        By canonical name; empty where the threshold decides.

    Raises
    ------
    ConfigError
        Times are asked for of a machine that is not this one.
    BuildError
        If timing fails.
    """
    same = resolve_target(compile_spec.target).isa == detect_host().isa
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
    setting = Setting(
        model.batch, micro_batch(model.batch, model.seq_len), compile_spec.num_threads
    )
    choose = _predicted if method == "model" else _measured
    return choose(eligible, params, sparsity.block_shape, setting, records, progress)


def _predicted(
    layers: Sequence[LayerWeight],
    params: Arrays,
    block_shape: tuple[int, int],
    setting: Setting,
    records: Records,
    progress: Progress,
) -> dict[str, LayerChoice]:
    num_weights = sum(layer.shape[0] * layer.shape[1] for layer in layers)
    jobs = {layer: _job(layer, block_shape, setting, num_weights) for layer in layers}
    dense = {layer: replace(job, kind="dense", block_shape=(0, 0)) for layer, job in jobs.items()}
    wanted = [*jobs.values(), *dense.values()]
    times = measured_kernels(records, wanted, setting.threads, progress)
    choices = {}
    for layer, job in jobs.items():
        sparsity = block_sparsity(layer.load(params), block_shape)
        sparse_ms = KernelFit.from_times(times[job]).at(1 - sparsity)
        choices[layer.canonical_name] = _choice(
            "predicted", sparsity, sparse_ms, times[dense[layer]][1.0]
        )
    return choices


def _job(
    layer: LayerWeight, block_shape: tuple[int, int], setting: Setting, num_weights: int
) -> KernelJob:
    units, depth = layer.shape
    tokens = layer.flops // (2 * units * depth)
    return KernelJob(
        "sparse",
        units,
        depth,
        setting.micro_batch,
        max(1, tokens // setting.batch),
        layout_rows=block_shape[0],
        block_shape=block_shape,
        bias=True,
        num_weights=num_weights,
    )


def _measured(
    layers: Sequence[LayerWeight],
    params: Arrays,
    block_shape: tuple[int, int],
    setting: Setting,
    records: Records,
    progress: Progress,
) -> dict[str, LayerChoice]:
    dense: dict[tuple[tuple[int, int], int], float] = {}
    choices = {}
    for layer in layers:
        weight = np.ascontiguousarray(layer.load(params))
        job = _job(layer, block_shape, setting, 0)
        tokens = job.batch * job.seq_len

        def time_ms(sparse: bool, weight: Any = weight, tokens: int = tokens) -> float:
            return _time_ms(weight, tokens, block_shape, sparse, setting.threads, records)

        progress(f"timing {layer.canonical_name}")
        if (layer.shape, tokens) not in dense:
            dense[layer.shape, tokens] = time_ms(False)
        sparsity = block_sparsity(weight, block_shape)
        choices[layer.canonical_name] = _choice(
            "measured", sparsity, time_ms(True), dense[layer.shape, tokens]
        )
    return choices


def _time_ms(
    weight: np.ndarray[Any, Any],
    tokens: int,
    block_shape: tuple[int, int],
    sparse: bool,
    threads: int,
    records: Records,
) -> float:
    """Return the time of one layer's kernel, from the records if it was measured before."""
    content = hashlib.sha256(weight.tobytes()).hexdigest() if sparse else list(weight.shape)
    identity = {
        "weight": content,
        "tokens": tokens,
        "block_shape": list(block_shape),
        "threads": threads,
        "code": code_fingerprint(KERNEL_CODE),
    }
    found = records.load("layer", identity)
    if found is None:
        from tvm_sparse.bench.product_kernel import build_product
        from tvm_sparse.runtime.tvm_runtime import set_threads

        set_threads(threads)
        data = np.random.default_rng(0).standard_normal((tokens, weight.shape[1]), np.float32)
        kernel = build_product(weight, tokens, block_shape, sparse)
        found = {"latency_ms": kernel.measure_ms(data, _SECONDS_PER_LAYER)}
        records.save("layer", identity, found)
    return float(found["latency_ms"])


def _choice(how: str, sparsity: float, sparse_ms: float, dense_ms: float) -> LayerChoice:
    return LayerChoice(
        sparse_ms < dense_ms,
        f"{how} {sparse_ms:.3g} ms sparse, {dense_ms:.3g} ms dense at block sparsity "
        f"{sparsity:.3g}",
    )
