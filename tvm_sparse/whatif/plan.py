"""What a study will cost, estimated before any work from what the cache holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm_sparse.bench.disturbance import ATTEMPTS
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.tuning.calibrate import TRIES
from tvm_sparse.whatif.grid import Grid, Mode, Point
from tvm_sparse.words import counted

#: Seconds, from measurements on two cores of a server; a busy machine takes longer.
_IMPORT_S, _IMPORT_S_PER_WEIGHT = 12.0, 2.0e-7
_BUILD_S, _BUILD_S_PER_WEIGHT = 5.0, 6.0e-8
_START_S, _START_S_PER_WEIGHT = 2.5, 3.0e-8
_KERNEL_S, _KERNEL_S_PER_WEIGHT = 0.5, 4.0e-9
_KERNELS_START_S, _CEILINGS_S = 4.0, 6.0
_ENGINE_S, _ENGINE_S_PER_WEIGHT = 20.0, 4.0e-7
#: How much longer all takes beside a neighbour that wants the same cores.
_SHARED = 2.0
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
    engines : int
        Other engines that are left to be measured, at all settings.
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
    engines: int
    kernels: int | None
    num_weights: int


@dataclass(frozen=True)
class Cost:
    """What a study needs.

    Attributes
    ----------
    imports, dense_builds, sparse_builds, kernels, engines : int
        How many models are imported, builds made and measured, kernels timed, engines measured.
    reused_points : int
        Measured points taken from the cache.
    minutes, busy_minutes : float
        Estimate for all of it: on a quiet machine, and on one so busy that everything is measured
        as often as it ever is.
    disk_bytes : int
        Estimate of the largest growth of the cache meanwhile.
    """

    imports: int
    dense_builds: int
    sparse_builds: int
    kernels: int
    engines: int
    reused_points: int
    minutes: float
    busy_minutes: float
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
    dense, sparse = there.num_settings - there.baselines, sparse - reused
    # A build of any shape is measured at all of them.
    shapes = there.num_settings if grid.is_open else 1
    dense_builds, sparse_builds = -(-dense // shapes), -(-sparse // shapes)
    kernels = there.kernels
    if kernels is None:
        kernels = dense * _PRODUCTS * (len(set(grid.block_shapes)) + 1)
    weights = there.num_weights
    bench_s = bench.time_s + bench.warmup_s + _START_S + weights * _START_S_PER_WEIGHT
    once_s = (
        imports * (_IMPORT_S + weights * _IMPORT_S_PER_WEIGHT)
        + (dense_builds + sparse_builds) * (_BUILD_S + weights * _BUILD_S_PER_WEIGHT)
        + there.engines * (_ENGINE_S + weights * _ENGINE_S_PER_WEIGHT + bench_s)
        + (_CEILINGS_S if dense else 0.0)
    )
    # A sparse build is measured next to a dense one.
    builds_s = bench_s * (dense + 2 * sparse)
    kernels_s = kernels * (_KERNEL_S + weights * _KERNEL_S_PER_WEIGHT)
    kernels_s += _KERNELS_START_S if kernels else 0.0
    return Cost(
        imports=imports,
        dense_builds=dense_builds,
        sparse_builds=sparse_builds,
        kernels=kernels,
        engines=there.engines,
        reused_points=reused,
        minutes=(once_s + builds_s + kernels_s) / 60,
        busy_minutes=_SHARED * (once_s + ATTEMPTS * builds_s + TRIES * kernels_s) / 60,
        disk_bytes=_disk_bytes(points, weights, imports, dense_builds, sparse_builds, keep_builds),
    )


def describe_cost(grid: Grid, cost: Cost) -> list[str]:
    """Return the plan and its cost in lines to print before the work."""
    builds = cost.dense_builds + cost.sparse_builds
    lines = [
        f"plan: {counted(len(grid.points), 'point')}: "
        f"{counted(len(set(grid.sparsities)), 'sparsity')} x "
        f"{counted(len(set(grid.block_shapes)), 'block shape')} x "
        f"{counted(len(grid.settings), 'combination')} of input shape and threads",
        f"cost: {counted(cost.imports, 'import')}, {counted(builds, 'build')} "
        f"({cost.dense_builds} dense, {cost.sparse_builds} sparse), "
        f"{counted(cost.kernels, 'kernel')} to time, {counted(cost.engines, 'other engine')}; "
        f"about {_minutes(cost.minutes)}, up to {_minutes(cost.busy_minutes)} on a machine so busy "
        f"that all is measured again, and {cost.disk_bytes / 1e6:.0f} MB of disk",
    ]
    if cost.reused_points:
        taken = "is" if cost.reused_points == 1 else "are"
        lines.append(
            f"{counted(cost.reused_points, 'measured point')} {taken} taken from the cache"
        )
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
