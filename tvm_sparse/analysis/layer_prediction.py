"""What each layer of an analysed model would take sparse, from the cost model."""

from __future__ import annotations

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
    if analysis.latency_ms is None or analysis.parts_ms is None:
        raise ValueError("an analysis without times given: add_measurement comes first")
    by_weight = {layer.weight: layer for layer in analysis.layers}
    times: dict[str, float] = {}
    sparsities: dict[str, float] = {}
    for call in baseline.calls:
        fit = model.fits.get(call.kernel)
        members = [by_weight[layer.canonical_name] for layer in baseline.members(call)]
        zeros = [_sparsity(layer, analysis.block_shape, assumed_sparsity) for layer in members]
        known = [value for value in zeros if value is not None]
        if fit is None or not members or len(known) < len(members):
            continue
        shares = flops_shares(members)
        density = 1 - sum(share * value for share, value in zip(shares, known, strict=True))
        for layer, share, value in zip(members, shares, known, strict=True):
            times[layer.weight] = times.get(layer.weight, 0.0) + share * fit.at(density)
            sparsities[layer.weight] = value
    layers = tuple(
        replace(
            layer,
            predicted_sparse_ms=times.get(layer.weight),
            predicted_at_sparsity=sparsities.get(layer.weight),
        )
        for layer in analysis.layers
    )
    won_ms = sum((by_weight[weight].latency_ms or 0.0) - ms for weight, ms in times.items())
    # Other parts take longer where the sparse build lays tokens out differently.
    lost_ms = sum(ms * (model.part_scale.get(p, 1.0) - 1) for p, ms in analysis.parts_ms.items())
    # Noise may take away more than there was.
    latency_ms = max(analysis.latency_ms - won_ms + lost_ms, sum(times.values()))
    return replace(analysis, layers=layers, predicted_latency_ms=latency_ms if times else None)


def _sparsity(layer: LayerAnalysis, block_shape: tuple[int, int], assumed: float) -> float | None:
    """Return the block sparsity to predict a layer at, None if it cannot run sparse."""
    own = layer.block_sparsities.get(block_name(block_shape))
    if not layer.eligible or own is None:
        return None
    return own if layer.action == "sparse" else max(own, assumed)
