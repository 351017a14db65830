"""The same builds with products of 8 bits: predicted by the cost model, two of them measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from tvm_sparse.bench.runner import benchmark
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.formats.builds import DENSE, BuildSpec, build_of
from tvm_sparse.formats.registry import rounds_blocks, weights_of
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.progress import Progress, silent
from tvm_sparse.tuning.calibrate import measured_kernels
from tvm_sparse.tuning.kernel_fit import KernelFit
from tvm_sparse.tuning.kernel_job import KernelJob, build_kernel
from tvm_sparse.tuning.records import Records
from tvm_sparse.whatif.baseline import Baseline, form_of
from tvm_sparse.whatif.cost import CostModel
from tvm_sparse.whatif.grid import Point, usual_sparsity
from tvm_sparse.whatif.measuring import point_identity, repetitions
from tvm_sparse.whatif.predict import in_model_scale, needed_jobs, part_scale
from tvm_sparse.whatif.rounded_point import NO_BLOCKS, MeasuredRounding, RoundedPoint
from tvm_sparse.whatif.subject import Subject

BlockShape = tuple[int, int]


def rounded_points(
    baseline: Baseline,
    block_shapes: Sequence[BlockShape],
    sparsities: Sequence[float],
    scheme: str,
    records: Records,
    layers: tuple[Sequence[str], Sequence[str]] = ((), ()),
    progress: Progress = silent,
) -> list[RoundedPoint]:
    """Predict a setting's builds with products of 8 bits, timing kernels the cache has not.

    Parameters
    ----------
    baseline : Baseline
        The float32 dense build.
    block_shapes, sparsities : sequence
        Of the grid. Blocks that have no such kernels are left out.
    scheme : str
        See `config.QuantizeScheme`.
    records, progress
        As `predict.make_predictors` takes them.
    layers : pair of sequence of str
        Shell patterns of layers to include and to exclude.
    """
    sparse = build_of(is_sparse=True, scheme=scheme)
    models = [
        rounded_cost_model(baseline, blocks, scheme, records, layers, progress)
        for blocks in (NO_BLOCKS, *(one for one in block_shapes if rounds_blocks(sparse, one)))
    ]
    points = []
    for model in models:
        for sparsity in [0.0] if model.block_shape == NO_BLOCKS else sorted({*sparsities}):
            predicted = model.predict(sparsity)
            points.append(
                RoundedPoint(
                    baseline.setting,
                    scheme,
                    model.block_shape,
                    sparsity,
                    predicted.latency_ms,
                    model.dense_ms / predicted.latency_ms,
                    predicted.weights_bytes,
                    parts_ms=predicted.parts_ms,
                )
            )
    return points


def rounded_cost_model(
    baseline: Baseline,
    blocks: BlockShape,
    scheme: str,
    records: Records,
    layers: tuple[Sequence[str], Sequence[str]] = ((), ()),
    progress: Progress = silent,
) -> CostModel:
    """Return the cost model of the builds of 8 bits in blocks of a shape, or of the dense one.

    Takes what `rounded_points` does; `blocks` are whole words, or `NO_BLOCKS`.
    """
    build = build_of(blocks != NO_BLOCKS, scheme)
    # All that could be sparse in the smallest blocks could be rounded.
    shape = blocks if build.is_sparse else (1, 1)
    floats = baseline.products(shape, *layers)
    jobs = {product.name: _rounded_job(job, build) for product, job in floats}
    rounding = {
        product.name: replace(
            jobs[product.name], kernel=KernelFacts("quantize_tokens", product.depth)
        )
        for product, _ in floats
    }
    wanted = [*jobs.values(), *rounding.values(), *needed_jobs(baseline, [shape], *layers)]
    times = measured_kernels(records, wanted, baseline.setting.threads, progress)
    scale = in_model_scale(floats, times)
    fits = {
        name: KernelFit.from_times(
            {
                density: scale * (ms + times[rounding[name]][1.0])
                for density, ms in times[job].items()
            }
        )
        for name, job in jobs.items()
    }
    products = (
        replace(product, sparse_form=form_of(build, jobs[product.name], blocks, baseline.tiles))
        for product, _ in floats
    )
    return CostModel(
        block_shape=blocks,
        dense_ms=baseline.latency_ms,
        dense_weights_bytes=baseline.weights_bytes,
        parts_ms=baseline.parts_ms,
        products=tuple(products),
        fits=fits,
        part_scale=part_scale(baseline, blocks, times) if build.is_sparse else {},
    )


def _rounded_job(job: KernelJob, build: BuildSpec) -> KernelJob:
    job = job if build.is_sparse else job.as_dense()
    dtype = weights_of(build, is_sparse=False).dtype
    return replace(job, kernel=build_kernel(job.kernel, build), layout_dtype=dtype)


def worth_measuring(points: Sequence[RoundedPoint]) -> list[RoundedPoint]:
    """Return the builds that decide: the dense one, and the fastest at a usual sparsity."""
    sparse = [point for point in points if point.build.is_sparse]
    usual = usual_sparsity(point.sparsity for point in sparse) if sparse else 0.0
    near = [point for point in sparse if point.sparsity == usual]
    fastest = sorted(near, key=lambda point: -point.predicted_speedup)[:1]
    return [*(point for point in points if not point.build.is_sparse), *fastest]


def bent(points: Sequence[RoundedPoint]) -> list[RoundedPoint]:
    """Return points whose predictions go through what was measured undisturbed.

    Between two measured sparsities of a block shape the correction follows a line, beyond them it
    stays.
    """
    found = []
    for point in points:
        family = (point.setting, point.block_shape)
        known = {
            one.sparsity: one.predicted_speedup / one.measured.speedup
            for one in points
            if (one.setting, one.block_shape) == family
            and one.measured is not None
            and not one.measured.disturbed
        }
        at = sorted(known)
        factors = [known[sparsity] for sparsity in at]
        correction = float(np.interp(point.sparsity, at, factors)) if known else 1.0
        found.append(replace(point, correction=correction))
    return found


def measured_rounded(
    subject: Subject,
    records: Records,
    point: RoundedPoint,
    bench: BenchSpec,
    progress: Progress = silent,
    again: bool = False,
) -> RoundedPoint:
    """Return a point as measured beside the float32 dense build, from the cache if it is there.

    Its build leaves the cache again unless it was there before.

    Raises
    ------
    TvmSparseError
        From importing, building and measuring.
    """
    place = Point(point.setting, point.block_shape, point.sparsity)
    sparse = replace(place, block_shape=(1, 1)) if not point.build.is_sparse else place
    identity = {
        **point_identity(subject, bench)(sparse),
        "scheme": point.scheme,
        "block_shape": list(point.block_shape),
    }
    kept = records.load("rounded", identity, MeasuredRounding)
    if kept is not None and not (again and kept.disturbed):
        return replace(point, measured=kept)
    progress(f"measuring {point.recipe}, {point.setting}")
    model = subject.load(point.setting)
    if point.build.is_sparse:
        model = subject.pruned(place)
    dense = subject.build_dense(point.setting)
    before = {entry.key for entry in subject.cache.ls("lib")}
    directory = subject.build(model, point.build)
    name = point.build.name
    record = benchmark(
        {DENSE.name: dense, name: directory},
        subject.inputs(point.setting),
        bench,
        point.setting.threads,
        progress=repetitions(progress),
    )
    if directory.parent.name not in before:
        subject.cache.clear("lib", f"lib/{directory.parent.name}")
    found, beside = record.builds[name], record.builds[DENSE.name]
    kept = MeasuredRounding(
        latency_ms=found.undisturbed_ms,
        speedup=beside.undisturbed_ms / found.undisturbed_ms,
        # The dense build has no zeros: what a sparse one is off by is not rounding.
        error=None if point.build.is_sparse else found.error,
        disturbed=record.disturbance.is_high,
    )
    records.save("rounded", identity, kept, {"model": asdict(model.spec)})
    return replace(point, measured=kept)
