"""Second-order pruning: remove what the outputs miss least, and let the rest make up for it.

A dense layer y = W x has the squared output error tr(D H D^T) for a change D of its weights, with
H the sum of x x^T over calibration tokens. That is quadratic, so for a given set of weights to
keep, the best values are the solution of a least-squares problem, and the loss of removing a
weight (or a block) is known in closed form.

    loss of block B of one row      w_B^T (H^-1)_BB^-1 w_B
    best values on the kept set S   (W H)_S (H_SS)^-1

Blocks of several rows are chosen by the sum over their rows. The losses change as weights go, so
blocks are removed in rounds: after each, what is kept is solved anew and its losses with it.

References
----------
Hassibi & Stork 1993, "Second order derivatives for network pruning: Optimal Brain Surgeon" (the
loss and the update); Kurtic et al. 2022, "The Optimal BERT Surgeon" (blocks, rounds);
Frantar & Alistarh 2023, "SparseGPT" (one Hessian for all rows of a layer).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.block_scores import keep_highest, keep_n_of_m
from tvm_sparse.sparsity.bsr import as_blocks, block_grid
from tvm_sparse.sparsity.elimination import eliminate
from tvm_sparse.sparsity.prune_spec import NM

Matrix = NDArray[np.float64]

_MOST_ROUNDS = 5
#: Floating-point operations that one layer may cost: about half a minute on two cores.
_LAYER_FLOPS = 2e12


def obs_scores(weight: NDArray[Any], inverse: Matrix, block_shape: tuple[int, int]) -> Matrix:
    """Return the loss of removing each block alone from a weight whose rows are all whole.

    From `weight` (N, K) and `inverse`, that of the damped Hessian, float64 (K, K), to float64
    (num_block_rows, num_block_cols). Raises SparsityError if the blocks do not divide the weight.
    """
    blocks = as_blocks(weight.astype(np.float64), block_shape)
    places = np.arange(len(inverse)).reshape(-1, block_shape[1])
    return _losses(blocks, inverse[places[:, :, None], places[:, None, :]])


def solve_kept(
    weight: NDArray[Any], hessian: Matrix, mask: NDArray[np.bool_], block_shape: tuple[int, int]
) -> Matrix:
    """Return the weights of the kept blocks that change the outputs least: the exact minimum.

    `weight` (N, K) is as it was before pruning, `hessian` float64 (K, K), `mask` bool
    (num_block_rows, num_block_cols), True for the blocks to keep; all else of the result, float64
    (N, K), is zero. Raises SparsityError if the Hessian is not positive definite.
    """
    from scipy.linalg import cho_solve

    targets = weight.astype(np.float64) @ hessian
    solved = np.zeros(weight.shape)
    for rows, kept in _kept_columns(mask, block_shape):
        factor = _cholesky(hessian[np.ix_(kept, kept)])
        right = targets[rows, kept].T
        solved[rows, kept] = cho_solve((factor, True), right, check_finite=False).T
    return solved


def prune_second_order(
    weight: NDArray[Any],
    hessian: Matrix,
    block_shape: tuple[int, int],
    zeros: int | None = None,
    n_m: NM | None = None,
    rounds: int | None = None,
) -> NDArray[Any]:
    """Return a pruned weight whose outputs are as near to the original's as can be.

    Parameters
    ----------
    weight : numpy.ndarray
        (N, K); not changed. The result has its dtype.
    hessian : numpy.ndarray
        float64 (K, K), positive definite: see `hessian.damped`.
    block_shape, zeros, n_m
        (bs_r, bs_c), and how many blocks go from the layer, or N of how many neighbours stay.
    rounds : int, optional
        In how many rounds; as many as are affordable by default. When that is one, single
        elements are chosen column by column as in SparseGPT.

    Raises
    ------
    SparsityError
        The blocks do not divide the weight, the Hessian is not positive definite, or neither or
        both of `zeros` and `n_m` are given.
    """
    if (zeros is None) == (n_m is None):
        raise SparsityError("prune_second_order needs zeros or n_m, and not both")
    grid = block_grid((weight.shape[0], weight.shape[1]), block_shape)
    count = grid[0] * grid[1]
    kept = n_m[0] / n_m[1] if n_m else 1 - (zeros or 0) / count
    inverse = _inverse(_cholesky(hessian))
    rounds = rounds or _affordable_rounds(grid[0], weight.shape[1], kept)
    if rounds == 1 and block_shape == (1, 1):
        mask = eliminate(weight, inverse, None if zeros is None else zeros / count, n_m)
        if zeros is not None:
            mask = _exactly(mask, obs_scores(weight, inverse, block_shape), zeros)
        return solve_kept(weight, hessian, mask, block_shape).astype(weight.dtype)
    scores = obs_scores(weight, inverse, block_shape)
    mask = np.ones(grid, np.bool_)
    targets = _targets(kept, rounds, count, zeros, n_m)
    for step, target in enumerate(targets):
        if step:
            # What went before stays away.
            scores = np.where(mask, _rescore(weight, hessian, mask, block_shape), -1.0)
        mask = keep_n_of_m(scores, target, n_m[1]) if n_m else keep_highest(scores, target)
    return solve_kept(weight, hessian, mask, block_shape).astype(weight.dtype)


def _shares(kept: float, rounds: int) -> list[float]:
    """Return which share of the blocks each round leaves.

    The first one goes half the way, on a logarithmic scale, because solving rows that keep much
    is what costs time; the others take equal steps, which is where the choice gets better.
    """
    if rounds == 1:
        return [kept]
    return [kept ** (0.5 + 0.5 * step / (rounds - 1)) for step in range(rounds)]


def _targets(kept: float, rounds: int, count: int, zeros: int | None, n_m: NM | None) -> list[int]:
    """Return for each round how many blocks are zero after it, or how many of M stay."""
    shares = _shares(kept, rounds)[:-1]
    if n_m:
        early = [max(n_m[0], round(n_m[1] * share)) for share in shares]
        return list(dict.fromkeys([*early, n_m[0]]))
    assert zeros is not None  # checked by the caller
    early = [min(zeros, round(count * (1 - share))) for share in shares]
    return list(dict.fromkeys([*early, zeros]))


def _rescore(
    weight: NDArray[Any], hessian: Matrix, mask: NDArray[np.bool_], block_shape: tuple[int, int]
) -> Matrix:
    """Return the losses of the blocks that are left, each row solved for what it keeps."""
    # float32 is enough to rank, and twice as fast.
    single = hessian.astype(np.float32)
    targets = (weight.astype(np.float64) @ hessian).astype(np.float32)
    scores = np.zeros(mask.shape)
    block_rows = np.flatnonzero(mask.any(axis=1))
    for row, (rows, kept) in zip(block_rows, _kept_columns(mask, block_shape), strict=True):
        half = _inverse_factor(single[np.ix_(kept, kept)], hessian, kept)
        solved = targets[rows, kept] @ half.T @ half
        # (H^-1)_BB of each block, from H^-1 = half.T @ half.
        parts = half.reshape(len(half), -1, block_shape[1])
        own = np.einsum("iju,ijv->juv", parts, parts)
        scores[row, mask[row]] = _losses(as_blocks(solved, block_shape), own)[0]
    return scores


def _inverse_factor(
    single: NDArray[np.float32], hessian: Matrix, kept: NDArray[np.intp]
) -> NDArray[Any]:
    """Return the inverse of the lower Cholesky factor of a part of the Hessian."""
    from scipy.linalg.lapack import spotrf, strtri

    # The transpose of a symmetric matrix is itself, in the order that LAPACK works on in place.
    factor, fault = spotrf(single.T, lower=1, clean=1, overwrite_a=1)
    if not fault:
        half, fault = strtri(factor, lower=1, overwrite_c=1)
    if fault:
        half = np.linalg.inv(_cholesky(hessian[np.ix_(kept, kept)]))
    result: NDArray[Any] = half
    return result


def _losses(blocks: NDArray[Any], own: NDArray[Any]) -> Matrix:
    """Return w_B^T (H^-1)_BB^-1 w_B, summed over the rows of every block.

    `blocks` are (num_block_rows, num_block_cols, bs_r, bs_c); `own` is (num_block_cols, bs_c,
    bs_c), (H^-1)_BB of every block column.
    """
    if own.shape[1] == 1:
        losses: Matrix = np.einsum("ijrc,ijrc->ij", blocks, blocks) / own[:, 0, 0]
        return losses
    precision = np.linalg.inv(own)
    losses = np.einsum("ijrc,jcd,ijrd->ij", blocks, precision, blocks, optimize=True)
    return losses


def _kept_columns(
    mask: NDArray[np.bool_], block_shape: tuple[int, int]
) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """Yield for every block row that keeps something its rows and the columns it keeps."""
    bs_r, bs_c = block_shape
    for row in np.flatnonzero(mask.any(axis=1)):
        first = np.flatnonzero(mask[row]) * bs_c
        columns = (first[:, None] + np.arange(bs_c)).ravel()
        yield slice(row * bs_r, (row + 1) * bs_r), columns


def _affordable_rounds(block_rows: int, width: int, kept: float) -> int:
    """Return into how many rounds the removal may be split within `_LAYER_FLOPS`."""
    for rounds in range(_MOST_ROUNDS, 1, -1):
        shares = _shares(kept, rounds)[:-1]
        # A Cholesky factor and its inverse take n^3 / 3 each.
        flops = block_rows * sum(2 / 3 * (share * width) ** 3 for share in shares)
        if flops <= _LAYER_FLOPS:
            return rounds
    return 1


def _exactly(mask: NDArray[np.bool_], scores: Matrix, zeros: int) -> NDArray[np.bool_]:
    """Mend what rounding in groups of columns left over: remove or give back the least ones."""
    ranked = np.where(mask, scores, scores - scores.max() - 1.0)
    return keep_highest(ranked, zeros)


def _cholesky(matrix: Matrix) -> Matrix:
    from scipy.linalg import LinAlgError, cholesky

    try:
        factor: Matrix = cholesky(matrix, lower=True, check_finite=False)
    except LinAlgError:
        raise SparsityError(
            "the Hessian is not positive definite: give more calibration text or a higher --damping"
        ) from None
    return factor


def _inverse(factor: Matrix) -> Matrix:
    """Return the inverse of a matrix from its lower Cholesky factor."""
    from scipy.linalg.lapack import dpotri

    lower = np.tril(dpotri(factor, lower=1)[0])
    inverse: Matrix = lower + np.tril(lower, -1).T
    return inverse
