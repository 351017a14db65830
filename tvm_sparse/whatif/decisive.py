"""Choose the few points that decide: those worth measuring when all are predicted."""

from __future__ import annotations

from collections.abc import Mapping

from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.cost import least_sparsity
from tvm_sparse.whatif.grid import Point, Targets, usual_sparsity
from tvm_sparse.whatif.predict import Predictor

BlockShape = tuple[int, int]


def decisive_points(
    setting: Setting,
    sparsities: tuple[float, ...],
    predictors: Mapping[BlockShape, Predictor],
    targets: Targets,
) -> dict[Point, str]:
    """Return the points of a setting that answers hang on, with the reason.

    They are, among the sparsities of the grid: for every block shape the first one predicted to
    beat dense, for the fastest block shape the last one predicted not to, the first one predicted
    to meet the target, and the fastest of all.

    Parameters
    ----------
    setting : Setting
        Where.
    sparsities : tuple of float
        Of the grid.
    predictors : mapping of (int, int) to Predictor
        By block shape.
    targets : Targets
        What is looked for.
    """
    grid = sorted(set(sparsities))
    near = usual_sparsity(grid)
    best = min(predictors, key=lambda shape: predictors[shape].model.latency_ms(near))
    chosen: dict[Point, str] = {}

    def choose(block_shape: BlockShape, sparsity: float | None, why: str) -> None:
        if sparsity is not None:
            chosen.setdefault(Point(setting, block_shape, sparsity), why)

    choose(best, near, "best block shape")
    for block_shape, predictor in predictors.items():
        latency, dense_ms = predictor.model.latency_ms, predictor.model.dense_ms
        least = least_sparsity(latency, dense_ms)
        above = [s for s in grid if least is not None and s >= least]
        below = [s for s in grid if least is None or s < least]
        choose(block_shape, above[0] if above else grid[-1], "break-even")
        if block_shape == best:
            choose(block_shape, below[-1] if below else None, "break-even")
    budget_ms = targets.budget_ms(setting)
    if budget_ms is not None:
        least = least_sparsity(predictors[best].model.latency_ms, budget_ms)
        choose(best, next((s for s in grid if least is not None and s >= least), None), "target")
    fastest = min(
        ((shape, s) for shape in predictors for s in grid),
        key=lambda pair: predictors[pair[0]].model.latency_ms(pair[1]),
    )
    choose(*fastest, "fastest")
    return dict(sorted(chosen.items()))
