"""Predict a setting's builds: the cost model of every block shape, from calibrated kernels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.host import detect_host
from tvm_sparse.progress import Progress, silent
from tvm_sparse.target import resolve_target
from tvm_sparse.tuning.calibrate import KernelTimes, measured_kernels
from tvm_sparse.tuning.kernel_fit import KernelFit
from tvm_sparse.tuning.kernel_job import KernelJob
from tvm_sparse.tuning.machine import Ceilings, level_of
from tvm_sparse.tuning.records import Records
from tvm_sparse.whatif.baseline import Baseline
from tvm_sparse.whatif.cost import CostModel, Product
from tvm_sparse.whatif.point_results import KernelEfficiency

BlockShape = tuple[int, int]


@dataclass(frozen=True)
class Predictor:
    """The cost model of one block shape, and what it was made from.

    Attributes
    ----------
    model : CostModel
        Predicts latencies.
    products : tuple of (Product, KernelJob)
        The products that would run sparse, with their kernels.
    """

    model: CostModel
    products: tuple[tuple[Product, KernelJob], ...]

    def efficiencies(self, ceilings: Ceilings) -> list[KernelEfficiency]:
        """Return times and efficiencies of the sparse kernels.

        Parameters
        ----------
        ceilings : Ceilings
            What the machine does at most with as many threads.
        """
        found = []
        for product, job in self.products:
            fit = self.model.fits[product.name]
            ideal = [roofline_ms(job, density, ceilings) for density in fit.densities]
            shares = map(fit.efficiency, fit.densities, ideal)
            found.append(
                KernelEfficiency(
                    product=product.name,
                    calls=product.calls,
                    block_shape=job.kernel.block_shape,
                    dense_ms=product.dense_ms,
                    densities=tuple(fit.densities),
                    latency_ms=tuple(fit.latency_ms),
                    roofline_ms=tuple(ideal),
                    efficiency=tuple(shares),
                    disorder=fit.disorder,
                )
            )
        return found


def roofline_ms(job: KernelJob, density: float, ceilings: Ceilings) -> float:
    """Return the least time this machine could take for a product, in milliseconds."""
    level = level_of(job.working_set_bytes(density), detect_host(), ceilings.threads)
    return ceilings.roofline_ms(job.flops(density), job.weight_bytes(density), level)


def needed_jobs(
    baseline: Baseline,
    block_shapes: Iterable[BlockShape],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> list[KernelJob]:
    """Return the kernels that have to be timed to predict a setting.

    Raises
    ------
    SparsityError
        A pattern matches no layer, or a block shape divides none that are eligible.
    """
    jobs: dict[KernelJob, None] = {}
    for block_shape in block_shapes:
        for _, job in baseline.products(block_shape, include, exclude):
            jobs[job] = None
            jobs[job.as_dense()] = None
        if _layout_differs(baseline, block_shape):
            for rows in (0, block_shape[0]):
                for layout_job in baseline.layout_jobs(rows).values():
                    jobs[layout_job] = None
    return list(jobs)


def make_predictors(
    baseline: Baseline,
    block_shapes: Iterable[BlockShape],
    records: Records,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    progress: Progress = silent,
    again: bool = False,
) -> dict[BlockShape, Predictor]:
    """Return a predictor for every block shape, timing the kernels that are not in the cache.

    Parameters
    ----------
    baseline : Baseline
        The dense build of the setting.
    block_shapes : iterable of (int, int)
        Block shapes.
    records : Records
        Keeps the kernels' times.
    include, exclude : sequence of str
        Shell patterns of layers.
    progress : callable
        Receives a line when there is something to measure.
    again : bool
        Time kernels again that something disturbed.

    Raises
    ------
    SparsityError
        As `needed_jobs` does.
    BuildError
        If the measuring process dies.
    """
    shapes = list(block_shapes)
    jobs = needed_jobs(baseline, shapes, include, exclude)
    times = measured_kernels(records, jobs, baseline.setting.threads, progress, again)
    predictors = {}
    for block_shape in shapes:
        products = tuple(baseline.products(block_shape, include, exclude))
        scale = in_model_scale(products, times)
        fits = {
            product.name: KernelFit.from_times(
                {density: ms * scale for density, ms in times[job].items()}
            )
            for product, job in products
        }
        model = CostModel(
            block_shape=block_shape,
            dense_ms=baseline.latency_ms,
            dense_weights_bytes=baseline.weights_bytes,
            parts_ms=baseline.parts_ms,
            products=tuple(product for product, _ in products),
            fits=fits,
            part_scale=part_scale(baseline, block_shape, times),
        )
        predictors[block_shape] = Predictor(model, products)
    return predictors


def in_model_scale(
    products: Sequence[tuple[Product, KernelJob]], times: Mapping[KernelJob, KernelTimes]
) -> float:
    """Return how much longer products take in the model than in the micro-benchmark.

    Dense products are timed in both. The ratio holds what differs between the two: other cache
    contents, and the state of the machine at the two moments.
    """
    in_model = sum(product.calls * product.dense_ms for product, _ in products)
    alone = sum(product.calls * times[job.as_dense()][1.0] for product, job in products)
    return in_model / alone if alone else 1.0


def part_scale(
    baseline: Baseline, block_shape: BlockShape, times: Mapping[KernelJob, KernelTimes]
) -> dict[str, float]:
    """Return by how much attention and norms grow in the token layout of a sparse build."""
    if not _layout_differs(baseline, block_shape):
        return {}
    dense, sparse = baseline.layout_jobs(0), baseline.layout_jobs(block_shape[0])
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    for call in baseline.calls:
        if call.kernel in dense:
            part = call.facts.part
            ratio = times[sparse[call.kernel]][1.0] / times[dense[call.kernel]][1.0]
            before[part] = before.get(part, 0.0) + call.latency_ms
            after[part] = after.get(part, 0.0) + call.latency_ms * ratio
    return {part: after[part] / before[part] for part in before if before[part] > 0}


def _layout_differs(baseline: Baseline, block_shape: BlockShape) -> bool:
    setting, target = baseline.setting, resolve_target(tiles=baseline.tiles)
    if setting.is_open:  # a tile is one register, whatever the blocks
        return False
    dense, sparse = (
        choose_layout(setting.micro_batch, setting.seq_len, target, rows)
        for rows in (0, block_shape[0])
    )
    return dense != sparse
