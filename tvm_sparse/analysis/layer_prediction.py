"""What each layer of an analysed model would take sparse, or at 8 bits, from the cost model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tvm_sparse.analysis.layers import Analysis, LayerAnalysis, flops_shares
from tvm_sparse.sizes import block_name
from tvm_sparse.whatif.baseline import Baseline
from tvm_sparse.whatif.cost import CostModel


def predict_layers(
    analysis: Analysis, baseline: Baseline, model: CostModel, assumed_sparsity: float
) -> Analysis:
    """Predict for every eligible layer how long it would take sparse, and for the model.

    Layers that one call multiplies share its time in proportion to their FLOPs.

    Parameters
    ----------
    analysis, baseline
        With the times of the dense build; the same measurement, for the cost model.
    model : CostModel
        Of the analysis's block shape.
    assumed_sparsity : float
        Block sparsity of layers whose own zeros do not make them sparse, 0..1. The others are
        predicted as they are.

    Raises
    ------
    ValueError
        The analysis has no times.
    """
    sparsities = {
        layer.weight: value
        for layer in analysis.layers
        if (value := _sparsity(layer, analysis.block_shape, assumed_sparsity)) is not None
    }
    times = _times(analysis, baseline, model, sparsities)
    layers = tuple(
        replace(
            layer,
            predicted_sparse_ms=times.get(layer.weight),
            predicted_at_sparsity=sparsities[layer.weight] if layer.weight in times else None,
        )
        for layer in analysis.layers
    )
    latency_ms = _latency_ms(analysis, model, times)
    return replace(analysis, layers=layers, predicted_latency_ms=latency_ms)


def predict_rounded(analysis: Analysis, baseline: Baseline, model: CostModel) -> Analysis:
    """Predict how long every layer that would be rounded would take dense, and the model.

    Parameters
    ----------
    analysis, baseline
        As `predict_layers` takes them; layers say what they would be stored in (`add_rounding`).
    model : CostModel
        Of the dense build of 8 bits.

    Raises
    ------
    ValueError
        The analysis has no times.
    """
    rounded = {layer.weight: 0.0 for layer in analysis.layers if layer.dtype == "int8"}
    times = _times(analysis, baseline, model, rounded)
    layers = tuple(
        replace(layer, predicted_int8_ms=times.get(layer.weight)) for layer in analysis.layers
    )
    latency_ms = _latency_ms(analysis, model, times)
    return replace(analysis, layers=layers, predicted_int8_latency_ms=latency_ms)


def _times(
    analysis: Analysis, baseline: Baseline, model: CostModel, sparsities: Mapping[str, float]
) -> dict[str, float]:
    """Return what layers of known sparsities would take, where all of a call are known."""
    if analysis.latency_ms is None or analysis.parts_ms is None:
        raise ValueError("an analysis without times given: add_measurement comes first")
    by_weight = {layer.weight: layer for layer in analysis.layers}
    times: dict[str, float] = {}
    for call in baseline.calls:
        fit = model.fits.get(call.kernel)
        members = [by_weight[layer.canonical_name] for layer in baseline.members(call)]
        if fit is None or not members or any(m.weight not in sparsities for m in members):
            continue
        shares = flops_shares(members)
        zeros = sum(s * sparsities[m.weight] for s, m in zip(shares, members, strict=True))
        for layer, share in zip(members, shares, strict=True):
            times[layer.weight] = times.get(layer.weight, 0.0) + share * fit.at(1 - zeros)
    return times


def _latency_ms(analysis: Analysis, model: CostModel, times: Mapping[str, float]) -> float | None:
    """Return the latency of the model with other times of some layers, None with none."""
    assert analysis.latency_ms is not None  # `_times` looked
    assert analysis.parts_ms is not None
    before = {layer.weight: layer.latency_ms or 0.0 for layer in analysis.layers}
    won_ms = sum(before[weight] - ms for weight, ms in times.items())
    # Other parts take longer where the sparse build lays tokens out differently.
    lost_ms = sum(ms * (model.part_scale.get(p, 1.0) - 1) for p, ms in analysis.parts_ms.items())
    # Noise may take away more than there was.
    return max(analysis.latency_ms - won_ms + lost_ms, sum(times.values())) if times else None


def _sparsity(layer: LayerAnalysis, block_shape: tuple[int, int], assumed: float) -> float | None:
    """Return the block sparsity to predict a layer at, None if it cannot run sparse."""
    own = layer.block_sparsities.get(block_name(block_shape))
    if not layer.eligible or own is None:
        return None
    return own if layer.action == "sparse" else max(own, assumed)
