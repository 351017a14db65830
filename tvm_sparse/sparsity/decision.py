"""Decide for every dense layer whether it runs sparse, and keep the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from tvm_sparse.errors import SparsityError
from tvm_sparse.model.decision import Decision
from tvm_sparse.model.layer import Layer
from tvm_sparse.sparsity.bsr import block_grid, divides
from tvm_sparse.sparsity.layers import select_layers
from tvm_sparse.sparsity.patterns import zero_block_count
from tvm_sparse.sparsity.stats import block_sparsity, element_sparsity


@dataclass(frozen=True)
class LayerChoice:
    """Whether a layer runs sparse, decided from times, and why."""

    sparse: bool
    reason: str


def eligible_layers(
    layers: Sequence[Layer],
    block_shape: tuple[int, int],
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
) -> dict[str, str]:
    """Choose the layers of a model that may run sparse, by their names and shapes.

    Parameters
    ----------
    layers : sequence of Layer
        All dense layers of a model.
    block_shape : (int, int)
        (bs_r, bs_c).
    include, exclude : iterable of str
        Shell patterns, see `select_layers`; without `include`, the layers of the encoder.

    Returns
    -------
    dict of str to str
        For each layer's name why it stays dense, empty for those that are eligible.

    Raises
    ------
    SparsityError
        A pattern matches no layer, or the blocks divide none of the layers that are chosen.
    """
    refusals = select_layers(layers, include, exclude)
    chosen = [layer for layer in layers if not refusals[layer.name]]
    bs_r, bs_c = block_shape
    for layer in chosen:
        if not divides(block_shape, layer.shape):
            n, k = layer.shape
            axis, size, block = ("N", n, bs_r) if n % bs_r else ("K", k, bs_c)
            refusals[layer.name] = f"{axis} = {size} is no multiple of {block}"
    if chosen and all(refusals[layer.name] for layer in chosen):
        shapes = ", ".join(f"{n}x{k}" for n, k in sorted({layer.shape for layer in chosen}))
        raise SparsityError(
            f"block {bs_r}x{bs_c} given, which divides none of the {len(chosen)} eligible layers "
            f"of shapes (N x K) {shapes}: choose a bs-r that divides N and a bs-c that divides K"
        )
    return refusals


def decide(
    layers: Sequence[Layer],
    params: Mapping[str, NDArray[Any]],
    block_shape: tuple[int, int],
    sparsity_threshold: float,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    choices: Mapping[str, LayerChoice] | None = None,
) -> list[Decision]:
    """Decide for every dense layer, in their order, whether it runs sparse.

    Parameters
    ----------
    layers, block_shape, include, exclude
        As `eligible_layers` takes them.
    params : mapping of str to numpy.ndarray
        The stored weights of the layers, by name.
    sparsity_threshold : float
        An eligible layer runs sparse when its `block_sparsity` is at least this, 0..1, in whole
        blocks: a layer pruned to 0.95 reaches 0.95, however its block count was rounded.
    choices : mapping of str to LayerChoice, optional
        What stands for the threshold in eligible layers, by canonical name.

    Raises
    ------
    SparsityError
        A pattern matches no layer, the blocks divide none of the eligible layers, or a weight
        is missing.
    """
    refusals = eligible_layers(layers, block_shape, include, exclude)
    decisions = []
    for layer in layers:
        weight = layer.load(params)
        blocks = block_sparsity(weight, block_shape) if divides(block_shape, layer.shape) else None
        refusal = refusals[layer.name]
        choice = (choices or {}).get(layer.canonical_name)
        if refusal:
            choice = LayerChoice(False, refusal)
        elif choice is None:
            reached = _reaches(blocks or 0.0, sparsity_threshold, layer, block_shape)
            choice = LayerChoice(reached, _comparison(blocks or 0.0, sparsity_threshold, reached))
        decisions.append(
            Decision(
                weight=layer.canonical_name,
                shape=layer.shape,
                block_shape=block_shape,
                element_sparsity=element_sparsity(weight),
                block_sparsity=blocks,
                eligible=not refusal,
                action="sparse" if choice.sparse else "dense",
                reason=choice.reason,
                flops=layer.flops,
                size_bytes=weight.nbytes,
            )
        )
    return decisions


def keep_dense(layers: Sequence[Layer], params: Mapping[str, NDArray[Any]]) -> list[Decision]:
    """Describe the layers of a dense build, in which nothing runs sparse.

    Raises
    ------
    SparsityError
        A weight is missing.
    """
    return [
        replace(found, action="dense", reason="dense build" if found.eligible else found.reason)
        for found in decide(layers, params, (1, 1), 0.0)
    ]


def sparse_flops_share(decisions: Iterable[Decision], flops: int) -> float:
    """Return the share of a model's FLOPs that runs sparse, 0..1.

    Parameters
    ----------
    decisions : iterable of Decision
        One per dense layer.
    flops : int
        Of all the model's products.
    """
    sparse = sum(decision.flops for decision in decisions if decision.action == "sparse")
    return sparse / flops if flops else 0.0


def _reaches(value: float, threshold: float, layer: Layer, block_shape: tuple[int, int]) -> bool:
    num_block_rows, num_block_cols = block_grid(layer.shape, block_shape)
    num_blocks = num_block_rows * num_block_cols
    return round(value * num_blocks) >= zero_block_count(num_blocks, threshold)


def _comparison(value: float, threshold: float, reached: bool) -> str:
    if reached:
        return f"block sparsity {value:.3g} reaches the threshold {threshold:g}"
    # Digits until the two differ: "0.4999 is below 0.5", never "0.5 is below 0.5".
    digits = next((d for d in range(3, 17) if f"{value:.{d}g}" != f"{threshold:.{d}g}"), 17)
    return f"block sparsity {value:.{digits}g} is below the threshold {threshold:g}"
