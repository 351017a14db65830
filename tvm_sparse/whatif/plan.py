"""What a study will cost, estimated before any work from what the cache holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm_sparse.config import BenchSpec
from tvm_sparse.whatif.grid import Grid, Mode, Point

#: Seconds, from measurements on two cores of a server; a busy machine takes longer.
_IMPORT_S, _IMPORT_S_PER_WEIGHT = 12.0, 2.0e-7
_BUILD_S, _BUILD_S_PER_WEIGHT = 5.0, 6.0e-8
_START_S = 6.0
_KERNEL_S, _KERNEL_S_PER_WEIGHT = 0.25, 4.0e-9
#: Kernels a transformer's layer has: Q, K and V in one, attention's output, two of feed-forward.
_PRODUCTS = 4
#: Points that the default mode measures per block shape, and besides.
_DECISIVE_PER_BLOCK, _DECISIVE_MORE = 1, 3


@dataclass(frozen=True)
class Inventory:
    """What is there already.

    Attributes
    ----------
    imports : int
        Input shapes whose import is in the cache, of `num_imports`.
    num_imports : int
        Input shapes of the grid.
    baselines : int
        Settings whose dense build was measured, of `num_settings`.
    num_settings : int
        Settings of the grid.
    measured_points : int
        Points of the grid that were measured.
    kernels : int or None
        Kernels that are left to be timed; None while the dense build is unknown.
    num_weights : int
        Weights of the model.
    """

    imports: int
    num_imports: int
    baselines: int
    num_settings: int
    measured_points: int
    kernels: int | None
    num_weights: int


@dataclass(frozen=True)
class Cost:
    """What a study needs.

    Attributes
    ----------
    imports, dense_builds, sparse_builds, kernels : int
        How many models are imported, builds made and measured, kernels timed.
    reused_points : int
        Measured points taken from the cache.
    minutes : float
        Estimate for all of it.
    disk_bytes : int
        Estimate of the largest growth of the cache meanwhile.
    """

    imports: int
    dense_builds: int
    sparse_builds: int
    kernels: int
    reused_points: int
    minutes: float
    disk_bytes: int


def estimate_cost(
    grid: Grid, mode: Mode, bench: BenchSpec, there: Inventory, keep_builds: bool = False
) -> Cost:
    """Estimate what a study costs.

    Parameters
    ----------
    grid : Grid
        What is asked.
    mode : {"decide", "predict", "measure"}
        How many points are measured.
    bench : BenchSpec
        How long each is.
    there : Inventory
        What the cache holds.
    keep_builds : bool
        Whether sparse builds stay.
    """
    points = grid.points
    sparse = _points_to_measure(grid, mode, points)
    reused = min(there.measured_points, sparse)
    imports = there.num_imports - there.imports
    dense = there.num_settings - there.baselines
    kernels = there.kernels
    if kernels is None:
        kernels = dense * _PRODUCTS * (len(set(grid.block_shapes)) + 1)
    weights = there.num_weights
    bench_s = bench.time_s + bench.warmup_s + _START_S
    build_s = _BUILD_S + weights * _BUILD_S_PER_WEIGHT
    seconds = (
        imports * (_IMPORT_S + weights * _IMPORT_S_PER_WEIGHT)
        + dense * (build_s + bench_s)
        + kernels * (_KERNEL_S + weights * _KERNEL_S_PER_WEIGHT)
        # A sparse build is measured next to a dense one.
        + (sparse - reused) * (build_s + 2 * bench_s)
    )
    return Cost(
        imports=imports,
        dense_builds=dense,
        sparse_builds=sparse - reused,
        kernels=kernels,
        reused_points=reused,
        minutes=seconds / 60,
        disk_bytes=_disk_bytes(points, weights, imports, dense, sparse - reused, keep_builds),
    )


def describe_cost(grid: Grid, cost: Cost) -> list[str]:
    """Return the plan and its cost in lines to print before the work."""
    builds = cost.dense_builds + cost.sparse_builds
    lines = [
        f"plan: {len(grid.points)} points: {len(set(grid.sparsities))} sparsities x "
        f"{len(set(grid.block_shapes))} block shapes x {len(grid.settings)} input shapes and "
        "thread counts",
        f"cost: {cost.imports} imports, {builds} builds ({cost.dense_builds} dense, "
        f"{cost.sparse_builds} sparse), {cost.kernels} kernels to time; about "
        f"{_minutes(cost.minutes)} and {cost.disk_bytes / 1e6:.0f} MB of disk",
    ]
    if cost.reused_points:
        lines.append(f"{cost.reused_points} measured points are taken from the cache")
    return lines


def _points_to_measure(grid: Grid, mode: Mode, points: Sequence[Point]) -> int:
    if mode == "predict":
        return 0
    if mode == "measure":
        return len(points)
    few = _DECISIVE_PER_BLOCK * len(set(grid.block_shapes)) + _DECISIVE_MORE
    return min(len(points), few * len(grid.settings))


def _disk_bytes(
    points: Sequence[Point],
    weights: int,
    imports: int,
    dense: int,
    sparse: int,
    keep_builds: bool,
) -> int:
    """Return the bytes of imports, dense builds, and sparse ones that lie there at a time."""
    largest = sorted(
        (
            4
            * weights
            * (1 - point.sparsity)
            * (1 + 1 / (point.block_shape[0] * point.block_shape[1]))
            for point in points
        ),
        reverse=True,
    )
    at_once = largest[:sparse] if keep_builds else largest[: min(sparse, 1)]
    return round(4 * weights * (imports + dense) + sum(at_once))


def _minutes(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes >= 1.5 else f"{minutes * 60:.0f} s"
