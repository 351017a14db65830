"""The process that times single kernels.

The request {"ceilings": threads} results in the ceilings of this machine. {"jobs": [...]} gives an
event for each: {"job": index, "latency_ms": {density: milliseconds}, "reference_ms": {density:
milliseconds}, "disturbed": bool}, with what the reference kernel of `tuning.pace` took beside them.

In a model every weight is met once an inference, so a kernel finds its weights where the model's
size left them: in a cache or in memory. Here each kernel therefore takes turns with copies of its
weights, as many as make up the model's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import tvm

from tvm_sparse.bench.contention import Contention
from tvm_sparse.bench.machine import measure_roofline
from tvm_sparse.formats.quantized import TOKEN_WORDS, WORD
from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.host import detect_host
from tvm_sparse.kernels.attention import make_attention
from tvm_sparse.kernels.attention_shape import AttentionShape
from tvm_sparse.kernels.layer_norm import make_layer_norm
from tvm_sparse.kernels.quantize_tokens import make_quantize_tokens
from tvm_sparse.kernels.tiling import attention_tile, norm_vectors
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.ops.registry import product_operator
from tvm_sparse.processes.serve import Report, serve
from tvm_sparse.runtime.tile_map import make_tile_map
from tvm_sparse.target import CpuTarget, resolve_target
from tvm_sparse.tuning.kernel_job import KernelJob, read_jobs
from tvm_sparse.tuning.machine import Ceilings
from tvm_sparse.tuning.pace import Pace, make_reference

#: Copies beyond this many times the last cache are read from memory anyway.
_CACHE_MULTIPLE = 1.5
_UNKNOWN_CACHE_BYTES = 32 << 20
_REFERENCE = "reference"

Array = np.ndarray[Any, Any]


def target_of(job: KernelJob) -> CpuTarget:
    """Return this machine's target with the job's tiles."""
    return resolve_target(tiles=job.tiles)


def shape_of(job: KernelJob, density: float, target: CpuTarget) -> ProductShape:
    """Return what a job multiplies at a density of 0..1."""
    facts = job.kernel
    blocks = facts.block_shape
    return ProductShape(facts.units, facts.depth, job.layout(target), blocks, density)


def make_kernel(job: KernelJob, density: float, target: CpuTarget) -> tvm.tirx.PrimFunc:
    """Return the kernel a build would hold for this job at a density of 0..1."""
    layout, facts = job.layout(target), job.kernel
    units, depth = facts.units, facts.depth
    if job.weights is not None:
        shape = shape_of(job, density, target)
        form = job.weights.choose(shape, target)
        operator = product_operator(job.weights).choose(shape, facts.epilogue, form, target)
        return operator.kernel()[1]
    if facts.kind in ("layer_norm", "quantize_tokens"):
        vectors = norm_vectors(layout, target)
        if facts.kind == "quantize_tokens":
            return make_quantize_tokens(layout, units, vectors)
        return make_layer_norm(layout, units, 1e-12, vectors, facts.epilogue.residual)
    width = units * depth
    heads = AttentionShape(
        heads=units,
        head_dim=depth,
        value_dim=depth,
        features=(3 * width, 3 * width, 3 * width),
        offsets=(0, width, 2 * width),
        scale=depth**-0.5,
        mask_batch=job.batch,
    )
    return make_attention(layout, heads, *attention_tile(layout, target))


def make_arguments(
    job: KernelJob, density: float, target: CpuTarget, last_cache_bytes: int
) -> Iterator[list[Array]]:
    """Yield the kernel's arguments at a density of 0..1, once for every copy of its weights.

    The last cache is the one nearest to memory.
    """
    rng = np.random.default_rng(0)
    layout, facts = job.layout(target), job.kernel
    units, depth = facts.units, facts.depth
    chart = []
    if layout.is_open:
        chart = [make_tile_map((job.seq_len,) * job.batch, layout.token_tile).copy()]
    tiles = len(chart[0]) if chart else layout.num_tiles
    if facts.kind == "attention":
        width = units * depth
        data = rng.standard_normal((tiles, 3 * width, layout.token_tile), np.float32)
        mask = np.zeros((job.batch, job.seq_len), np.float32)
        out = np.zeros((tiles, width, layout.token_tile), np.float32)
        yield [data, data, data, mask, *chart, out]
        return
    data = rng.standard_normal((tiles, depth or units, layout.token_tile), np.float32)
    out = np.zeros((tiles, units, layout.token_tile), np.float32)
    further = [np.ones_like(out)] if facts.epilogue.residual else []
    further += chart
    if facts.kind == "layer_norm":
        yield [data, np.ones(units, np.float32), np.zeros(units, np.float32), *further, out]
        return
    if facts.kind == "quantize_tokens":
        yield [data, *further, _words(rng, tiles, units, layout)]
        return
    assert job.weights is not None  # it is a product
    if product_operator(job.weights).takes_words:
        data = _words(rng, tiles, depth, layout)
    weights = _random_weight(job, density, target, rng)
    bias = [np.zeros(units, np.float32)] if facts.epilogue.bias else []
    own_bytes = sum(weight.nbytes for weight in weights)
    working_set = min(job.working_set_bytes(density), _CACHE_MULTIPLE * last_cache_bytes)
    for _ in range(max(1, round(working_set / own_bytes))):
        yield [data, *(weight.copy() for weight in weights), *bias, *further, out]


def _words(rng: np.random.Generator, tiles: int, features: int, layout: TokenLayout) -> Array:
    """Return random tokens as `quantize_tokens` makes them."""
    rows = features // WORD
    shape = (tiles, rows + TOKEN_WORDS, layout.token_tile)
    words = rng.integers(-(1 << 31), 1 << 31, shape, np.int64).astype(np.int32)
    words[:, rows] = -128
    words[:, rows + 1] = np.float32(0.01).view(np.int32)
    return words


def _random_weight(
    job: KernelJob, density: float, target: CpuTarget, rng: np.random.Generator
) -> tuple[Array, ...]:
    """Return a random weight as the kernel reads it."""
    assert job.weights is not None  # it is a product
    shape = shape_of(job, density, target)
    units, depth, (bs_r, bs_c) = shape.units, shape.depth, shape.block_shape
    form = job.weights.choose(shape, target)
    if not form.is_sparse:
        return form.pack([rng.standard_normal((units, depth), np.float32)], depth)
    mask = rng.random((units // bs_r, depth // bs_c), np.float32) < density
    indptr = np.zeros(len(mask) + 1, np.int32)
    np.cumsum(mask.sum(axis=1), out=indptr[1:])
    indices = np.nonzero(mask)[1].astype(np.int32)
    data = rng.standard_normal((len(indices), bs_r, bs_c), np.float32)
    return form.pack([data, indices, indptr], depth)


def argument_sets(
    job: KernelJob, density: float, target: CpuTarget, cache_bytes: int
) -> list[list[Any]]:
    """Return TVM's tensors of `make_arguments`, all sets in memory together."""
    # Activations are one tensor in all sets, warm as in a model; only weights have copies.
    tensors: dict[int, Any] = {}
    sets = list(make_arguments(job, density, target, cache_bytes))
    for array in (array for arguments in sets for array in arguments):
        if id(array) not in tensors:
            tensors[id(array)] = tvm.runtime.tensor(array)
    return [[tensors[id(array)] for array in arguments] for arguments in sets]


def last_cache_bytes() -> int:
    """Return the size of the cache that is nearest to memory."""
    host = detect_host()
    return max(host.l2_bytes, host.l3_bytes) or _UNKNOWN_CACHE_BYTES


def measure_ceilings(threads: int) -> Ceilings:
    """Return what this machine can do at most."""
    roofline = measure_roofline(threads)
    bandwidths = {b.level: b.bandwidth_gb_s for b in roofline.bandwidths}
    return Ceilings(roofline.threads, roofline.fma_gflop_s, bandwidths)


def time_jobs(jobs: Sequence[KernelJob], report: Report) -> None:
    """Time kernels and report each as it is done; see the module."""
    # The kernel of a weight may depend on its density; equal ones are compiled once.
    reference = make_reference().with_attr("global_symbol", _REFERENCE)
    functions: dict[str, tvm.tirx.PrimFunc] = {_REFERENCE: reference}
    names: dict[tvm.tirx.PrimFunc, str] = {}
    kernels: dict[tuple[int, float], tvm.tirx.PrimFunc] = {}
    targets = [target_of(job) for job in jobs]
    for index, (job, target) in enumerate(zip(jobs, targets, strict=True)):
        for density in job.densities:
            kernel = kernels[index, density] = make_kernel(job, density, target)
            if kernel not in names:
                names[kernel] = f"job_{index}_{len(names)}"
                functions[names[kernel]] = kernel.with_attr("global_symbol", names[kernel])
    compiled = tvm.compile(tvm.IRModule(functions), target=tvm_target(targets[0]))
    last_cache = last_cache_bytes()
    pace = Pace(compiled[_REFERENCE])
    for index, (job, target) in enumerate(zip(jobs, targets, strict=True)):
        contention = Contention()
        times: dict[str, float] = {}
        paces: dict[str, float] = {}
        for density in job.densities:
            kernel = compiled[names[kernels[index, density]]]
            sets = argument_sets(job, density, target, last_cache)
            times[str(density)], paces[str(density)] = pace.measure_ms(kernel, sets)
        timed = {"latency_ms": times, "reference_ms": paces, "disturbed": contention.is_high}
        report({"job": index, **timed})


def _carry_out(request: dict[str, Any], report: Report) -> Any:
    if "ceilings" in request:
        return asdict(measure_ceilings(request["ceilings"]))
    return time_jobs(read_jobs(request["jobs"]), report)


if __name__ == "__main__":
    serve(_carry_out)
