"""Put together what a study tells of a point and of a dense build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isinf

from tvm_sparse.sizes import block_name
from tvm_sparse.tuning.machine import Ceilings
from tvm_sparse.whatif.baseline import Baseline
from tvm_sparse.whatif.cost import amdahl_limit, correction
from tvm_sparse.whatif.grid import Point
from tvm_sparse.whatif.point_results import PointResult, ProductCall, SettingResult
from tvm_sparse.whatif.predict import Predictor
from tvm_sparse.whatif.subject import Fill
from tvm_sparse.whatif.sweep import Kept

Predictors = Mapping[tuple[int, int], Predictor]


def point_results(
    points: Sequence[Point],
    predictors: Predictors,
    kept: Mapping[Point, Kept],
    reasons: Mapping[Point, str],
) -> list[PointResult]:
    """Return the results of a setting's points.

    Parameters
    ----------
    points : sequence of Point
        Where.
    predictors : mapping of (int, int) to Predictor
        Those of the setting, by block shape.
    kept : mapping of Point to Kept
        What was measured.
    reasons : mapping of Point to str
        Why points were to be measured.
    """
    factors = {
        shape: correction(predictor.model, quiet_speedups(points, kept, shape))
        for shape, predictor in predictors.items()
    }
    results = []
    for point in points:
        model, found = predictors[point.block_shape].model, kept.get(point)
        predicted = model.predict(point.sparsity)
        results.append(
            PointResult(
                point,
                predicted,
                model.dense_ms / predicted.latency_ms,
                found.measurement if found else None,
                found.record if found else None,
                reasons.get(point, "measured by an earlier study" if found else ""),
                factors[point.block_shape](point.sparsity),
            )
        )
    return results


def quiet_speedups(
    points: Sequence[Point], kept: Mapping[Point, Kept], block_shape: tuple[int, int]
) -> dict[float, float]:
    """Return the speed-ups of a block shape that were measured undisturbed, by sparsity."""
    return {
        point.sparsity: kept[point].measurement.speedup
        for point in points
        if point.block_shape == block_shape
        and point in kept
        and not kept[point].measurement.disturbed
    }


def setting_result(
    baseline: Baseline, predictors: Predictors, fill: Fill, ceilings: Ceilings
) -> SettingResult:
    """Return the result of a dense build.

    Parameters
    ----------
    baseline : Baseline
        What was measured of it.
    predictors : mapping of (int, int) to Predictor
        By block shape.
    fill : Fill
        Which layers may run sparse.
    ceilings : Ceilings
        What this machine does at most with as many threads.
    """
    products = {
        block_name(shape): sum(p.calls * p.dense_ms for p in predictor.model.products)
        for shape, predictor in predictors.items()
    }
    limits = {name: amdahl_limit(baseline.latency_ms, ms) for name, ms in products.items()}
    return SettingResult(
        setting=baseline.setting,
        latency_ms=baseline.latency_ms,
        weights_bytes=baseline.weights_bytes,
        parts_ms=baseline.parts_ms,
        sparse_products_ms=products,
        # JSON knows no infinity.
        amdahl_limit={name: None if isinf(limit) else limit for name, limit in limits.items()},
        layers=tuple(_layers(baseline, list(predictors), fill)),
        kernels=tuple(row for p in predictors.values() for row in p.efficiencies(ceilings)),
        machine=ceilings,
        disturbed=baseline.disturbed,
    )


def _layers(
    baseline: Baseline, block_shapes: list[tuple[int, int]], fill: Fill
) -> list[ProductCall]:
    """Return one row per product, with the reason by block shape why it stays dense."""
    reasons = {
        block_name(shape): baseline.reasons(shape, fill.include, fill.exclude)
        for shape in block_shapes
    }
    rows = []
    for call in baseline.calls:
        if not (members := baseline.members(call)):
            continue
        why = {
            name: next((found[layer.name] for layer in members if found[layer.name]), "")
            for name, found in reasons.items()
        }
        rows.append(
            ProductCall(
                layer=call.layer,
                kernel=call.kernel,
                latency_ms=call.latency_ms,
                stays_dense=why,
            )
        )
    return rows
