"""Put together what a study tells of a point and of a dense build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isinf

from tvm_sparse.config import block_name
from tvm_sparse.tuning.machine import Ceilings
from tvm_sparse.whatif.baseline import Baseline
from tvm_sparse.whatif.cost import amdahl_limit
from tvm_sparse.whatif.grid import Point
from tvm_sparse.whatif.point_results import PointResult, ProductCall, SettingResult
from tvm_sparse.whatif.predict import Predictor
from tvm_sparse.whatif.subject import Fill
from tvm_sparse.whatif.sweep import Kept

Predictors = Mapping[tuple[int, int], Predictor]


def point_result(point: Point, predictors: Predictors, kept: Kept | None, why: str) -> PointResult:
    """Return the result of a point.

    Parameters
    ----------
    point : Point
        Where.
    predictors : mapping of (int, int) to Predictor
        Those of its setting, by block shape.
    kept : Kept or None
        What was measured, if it was.
    why : str
        Why it was to be measured.
    """
    model = predictors[point.block_shape].model
    predicted = model.predict(point.sparsity)
    result = PointResult(point, predicted, model.dense_ms / predicted.latency_ms, why=why)
    if kept is None:
        return result
    return replace(
        result,
        measured=kept.measurement,
        record=kept.record,
        why=why or "measured by an earlier study",
    )


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
