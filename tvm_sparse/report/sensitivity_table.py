"""What each layer costs when it alone is pruned: loss of fidelity beside the time it saves."""

from __future__ import annotations

from tvm_sparse.analysis.layers import Analysis, LayerAnalysis
from tvm_sparse.fidelity.sensitivity_record import LayerSensitivity, Sensitivity
from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.sizes import block_name
from tvm_sparse.words import counted

_MEASURES = {
    "cosine_mean": "cosine of embeddings",
    "agreement": "share of equal predictions",
    "exact_match": "share of equal answer spans",
}


def render_sensitivity(analysis: Analysis, found: Sensitivity) -> FittedTable:
    """Return one row per layer, the cheapest to prune first.

    Parameters
    ----------
    analysis : Analysis
        The layers. Where they have predicted times, they are ordered by loss per millisecond
        saved, else by loss per FLOP.
    found : Sensitivity
        What was measured.
    """
    table = FittedTable(
        f"{_MEASURES.get(found.measure, found.measure)} when one layer alone is pruned in "
        f"{block_name(found.block_shape)} blocks, on {counted(found.texts, 'text')}"
    )
    table.add_column("layer")
    layers = _ordered(analysis, found)
    for sparsity in layers[0].sparsities if layers else ():
        # The highest tells most.
        table.add_column(f"{sparsity:.0%}", right=True, spare=round(100 * (1 - sparsity)))
    saved = {layer.weight: _saved_ms(layer) for layer in analysis.layers}
    timed = any(value is not None for value in saved.values())
    if timed:
        table.add_column("ms saved", right=True)
    for layer in layers:
        won = saved.get(layer.weight)
        table.add_row(
            layer.weight.removesuffix("/kernel"),
            *(f"{value:.4f}" for value in layer.measures),
            *(["-" if won is None else f"{won:.3f}"] if timed else []),
        )
    return table


def describe_sensitivity(analysis: Analysis, found: Sensitivity) -> str:
    """Return in one line which layers cost least and most for what they give."""
    layers = _ordered(analysis, found)
    if len(layers) < 2:
        return "there are no layers to compare"
    per = "millisecond saved" if _timed(analysis) else "FLOP"
    first, last = (layer.weight.removesuffix("/kernel") for layer in (layers[0], layers[-1]))
    return f"pruning costs least per {per} in {first} and most in {last}"


def _ordered(analysis: Analysis, found: Sensitivity) -> list[LayerSensitivity]:
    saved = {layer.weight: _saved_ms(layer) for layer in analysis.layers}
    timed = _timed(analysis)

    def price(layer: LayerSensitivity) -> float:
        won = saved.get(layer.weight) if timed else float(layer.flops)
        # A layer that saves nothing is the last one to prune.
        return layer.losses[-1] / won if won and won > 0 else float("inf")

    return sorted(found.layers, key=price)


def _timed(analysis: Analysis) -> bool:
    return any(_saved_ms(layer) is not None for layer in analysis.layers)


def _saved_ms(layer: LayerAnalysis) -> float | None:
    if layer.latency_ms is None or layer.predicted_sparse_ms is None:
        return None
    return layer.latency_ms - layer.predicted_sparse_ms
