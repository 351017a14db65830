"""Prune one layer by any of the methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.block_scores import keep_highest, keep_highest_per_row, keep_n_of_m
from tvm_sparse.sparsity.bsr import apply_block_mask
from tvm_sparse.sparsity.hessian import damped
from tvm_sparse.sparsity.prune_spec import PruneSpec
from tvm_sparse.sparsity.pruning import block_norms_squared
from tvm_sparse.sparsity.second_order import obs_scores, prune_second_order
from tvm_sparse.sparsity.wanda import wanda_scores


@dataclass(frozen=True)
class InputMoments:
    """What calibration tells about the inputs of a layer, over so many tokens.

    Attributes
    ----------
    norms_squared : numpy.ndarray
        float64 (K,), sums of squares.
    hessian : numpy.ndarray or None
        float64 (K, K), X^T X; None where the method does without.
    """

    norms_squared: NDArray[np.float64]
    hessian: NDArray[np.float64] | None
    tokens: int


def layer_scores(
    weight: NDArray[Any], spec: PruneSpec, moments: InputMoments | None
) -> NDArray[np.float64]:
    """Return what each block is worth, on a scale on which layers can be compared.

    Magnitudes are compared as they are; the other two as shares of the layer's output. The scores
    of a weight (N, K) are float64 (num_block_rows, num_block_cols).

    Raises
    ------
    SparsityError
        The blocks do not divide the weight, or a method but magnitude has no `moments`.
    """
    if spec.method == "magnitude":
        return block_norms_squared(weight, spec.block_shape)
    moments = _needed(spec, moments)
    if spec.method == "wanda":
        scores = wanda_scores(weight, moments.norms_squared, spec.block_shape)
        size = float(scores.sum())
    else:
        hessian = _hessian(spec, moments)
        inverse: NDArray[np.float64] = np.linalg.inv(hessian).astype(np.float64)
        scores = obs_scores(weight, inverse, spec.block_shape)
        size = float(np.vdot(weight @ hessian, weight))
    return scores / size if size > 0 else scores


def prune_layer(
    weight: NDArray[Any], spec: PruneSpec, zeros: int | None, moments: InputMoments | None
) -> NDArray[Any]:
    """Return a weight (N, K) pruned, in its dtype; `zeros` blocks go where there is no N:M pattern.

    Raises
    ------
    SparsityError
        The blocks or the pattern do not divide the weight, or a method but magnitude has no
        `moments`.
    """
    if spec.method == "second-order":
        hessian = _hessian(spec, _needed(spec, moments))
        return prune_second_order(weight, hessian, spec.block_shape, zeros, spec.n_m)
    scores = layer_scores(weight, spec, moments)
    if spec.n_m is not None:
        mask = keep_n_of_m(scores, *spec.n_m)
    elif zeros is None:
        raise SparsityError("prune_layer needs the number of zero blocks or an N:M pattern")
    elif spec.method == "wanda":
        mask = keep_highest_per_row(scores, zeros)
    else:
        mask = keep_highest(scores, zeros)
    return apply_block_mask(weight, mask, spec.block_shape)


def _needed(spec: PruneSpec, moments: InputMoments | None) -> InputMoments:
    if moments is None:
        raise SparsityError(f"method {spec.method} needs the layer's inputs on calibration text")
    return moments


def _hessian(spec: PruneSpec, moments: InputMoments) -> NDArray[np.float64]:
    if moments.hessian is None:
        raise SparsityError(f"method {spec.method} needs the Hessian of the layer's inputs")
    return damped(moments.hessian, spec.damping)
