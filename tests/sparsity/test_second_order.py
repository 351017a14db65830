"""The second-order update against brute-force least squares, and its losses against removal."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.bsr import apply_block_mask, block_mask
from tvm_sparse.sparsity.elimination import eliminate
from tvm_sparse.sparsity.hessian import HessianSum, damped, output_error
from tvm_sparse.sparsity.pruning import prune_magnitude
from tvm_sparse.sparsity.second_order import obs_scores, prune_second_order, solve_kept

pytestmark = pytest.mark.unit

BLOCKS = [(1, 1), (4, 1), (8, 1), (2, 2), (4, 3)]


def layer(n=8, k=12, tokens=60, seed=0):
    """A weight and inputs that are correlated, as real activations are."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((tokens, k)) @ rng.standard_normal((k, k))
    return rng.standard_normal((n, k)), inputs


def least_squares(weight, inputs, elements):
    """Each row by numpy's solver on the inputs themselves."""
    solved = np.zeros_like(weight)
    for row, kept in enumerate(elements):
        if kept.any():
            targets = inputs @ weight[row]
            solved[row, kept] = np.linalg.lstsq(inputs[:, kept], targets, rcond=None)[0]
    return solved


def loss(weight, pruned, inputs):
    return float(((inputs @ (weight - pruned).T) ** 2).sum())


@pytest.mark.parametrize("block_shape", BLOCKS)
def test_kept_weights_are_the_least_squares_solution(block_shape):
    weight, inputs = layer()
    rng = np.random.default_rng(1)
    mask = rng.random((8 // block_shape[0], 12 // block_shape[1])) < 0.5
    mask[0] = False  # a block row that keeps nothing
    elements = np.kron(mask, np.ones(block_shape)).astype(bool)
    solved = solve_kept(weight, inputs.T @ inputs, mask, block_shape)
    np.testing.assert_allclose(solved, least_squares(weight, inputs, elements), atol=1e-8)


@pytest.mark.parametrize("block_shape", BLOCKS)
def test_scores_are_the_losses_of_removing_one_block(block_shape):
    weight, inputs = layer(seed=2)
    hessian = inputs.T @ inputs
    scores = obs_scores(weight, np.linalg.inv(hessian), block_shape)
    for place in np.ndindex(scores.shape):
        mask = np.ones(scores.shape, bool)
        mask[place] = False
        best = solve_kept(weight, hessian, mask, block_shape)
        assert loss(weight, best, inputs) == pytest.approx(scores[place], rel=1e-6)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_one_block_to_remove_is_the_best_one(rounds):
    weight, inputs = layer(seed=3)
    hessian = inputs.T @ inputs
    pruned = prune_second_order(weight, hessian, (2, 1), zeros=1, rounds=rounds)
    losses = []
    for place in np.ndindex(4, 12):
        mask = np.ones((4, 12), bool)
        mask[place] = False
        losses.append(loss(weight, solve_kept(weight, hessian, mask, (2, 1)), inputs))
    assert loss(weight, pruned, inputs) == pytest.approx(min(losses), rel=1e-6)


def test_rounds_come_close_to_the_best_of_all_masks():
    weight, inputs = layer(n=4, k=8, seed=4)
    hessian = inputs.T @ inputs
    best = min(
        loss(weight, solve_kept(weight, hessian, mask[None], (4, 1)), inputs)
        for kept in combinations(range(8), 4)
        for mask in [np.isin(np.arange(8), kept)]
    )
    found = prune_second_order(weight, hessian, (4, 1), zeros=4, rounds=4)
    assert best <= loss(weight, found, inputs) * (1 + 1e-9)
    assert loss(weight, found, inputs) < 1.5 * best
    magnitude = prune_magnitude(weight, (4, 1), 0.5)
    assert loss(weight, found, inputs) < 0.6 * loss(weight, magnitude, inputs)


@pytest.mark.parametrize("block_shape", BLOCKS)
@pytest.mark.parametrize("rounds", [None, 1, 3])
@pytest.mark.parametrize("sparsity", [0.0, 0.31, 0.75, 1.0])
def test_counts_are_exact_and_the_input_is_unchanged(block_shape, rounds, sparsity):
    weight, inputs = layer(n=16, k=24)
    weight = weight.astype(np.float32)
    before = weight.copy()
    zeros = round(weight.size // (block_shape[0] * block_shape[1]) * sparsity)
    pruned = prune_second_order(
        weight, damped(inputs.T @ inputs, 0.01), block_shape, zeros, rounds=rounds
    )
    assert (~block_mask(pruned, block_shape)).sum() == zeros
    assert pruned.dtype == np.float32
    np.testing.assert_array_equal(weight, before)
    if sparsity == 0.0:
        np.testing.assert_allclose(pruned, weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block_shape", [(1, 1), (4, 1), (2, 2)])
def test_it_beats_magnitude_and_more_rounds_beat_one(block_shape):
    weight, inputs = layer(n=32, k=48, tokens=400, seed=5)
    hessian = damped(inputs.T @ inputs, 0.01)
    zeros = round(weight.size // (block_shape[0] * block_shape[1]) * 0.7)
    errors = [
        output_error(
            weight,
            prune_second_order(weight, hessian, block_shape, zeros, rounds=rounds),
            inputs.T @ inputs,
        )
        for rounds in (4, 1)
    ]
    magnitude = output_error(weight, prune_magnitude(weight, block_shape, 0.7), inputs.T @ inputs)
    assert errors[0] < errors[1] < magnitude


def test_elimination_sees_what_was_removed_further_left():
    # Columns 0 and 1 are twins: removing both costs, removing either is free.
    rng = np.random.default_rng(6)
    inputs = rng.standard_normal((200, 4))
    inputs[:, 1] = inputs[:, 0]
    weight = np.array([[1.0, 1.0, 0.5, 0.6]])
    hessian = damped(inputs.T @ inputs, 1e-6)
    mask = eliminate(weight, np.linalg.inv(hessian), 0.25)
    assert (~mask).sum() == 1
    assert not mask[0, :2].all()
    solved = solve_kept(weight, hessian, mask, (1, 1))
    assert output_error(weight, solved, inputs.T @ inputs) < 1e-6


@pytest.mark.parametrize("tokens", [0, 1, 5])
def test_few_tokens_make_a_singular_hessian_that_damping_mends(tokens):
    weight, inputs = layer(tokens=tokens)
    pruned = prune_second_order(weight, damped(inputs.T @ inputs, 0.01), (4, 1), zeros=12)
    assert np.isfinite(pruned).all()
    assert (~block_mask(pruned, (4, 1))).sum() == 12


def test_inputs_that_are_always_zero_go_first():
    weight, inputs = layer()
    inputs[:, [2, 7]] = 0
    pruned = prune_second_order(weight, damped(inputs.T @ inputs, 0.01), (8, 1), zeros=2)
    np.testing.assert_array_equal(np.flatnonzero((pruned == 0).all(axis=0)), [2, 7])


def test_sums_do_not_depend_on_the_batches():
    rows = np.random.default_rng(0).standard_normal((5000, 6)).astype(np.float32)
    whole, parts, squares = HessianSum(6), HessianSum(6), HessianSum(6, diagonal=True)
    whole.add(rows)
    for part in np.array_split(rows, 37):
        parts.add(part)
        squares.add(part)
    expected = rows.astype(np.float64).T @ rows.astype(np.float64)
    np.testing.assert_allclose(whole.result(), expected, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(parts.result(), expected, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(squares.result(), np.diag(expected), rtol=1e-6)
    assert whole.tokens == parts.tokens == squares.tokens == 5000


def test_refusals():
    weight, inputs = layer()
    hessian = inputs.T @ inputs
    with pytest.raises(SparsityError, match="not positive definite"):
        prune_second_order(weight, np.zeros((12, 12)), (1, 1), zeros=3)
    with pytest.raises(SparsityError, match="block 5x1 given"):
        prune_second_order(weight, hessian, (5, 1), zeros=3)
    with pytest.raises(SparsityError, match="needs zeros or n_m"):
        prune_second_order(weight, hessian, (1, 1))
    with pytest.raises(SparsityError, match="infinite or not a number"):
        damped(np.full((2, 2), np.nan), 0.01)


def test_output_error_is_that_of_the_outputs():
    weight, inputs = layer()
    pruned = apply_block_mask(weight, np.eye(8, 12, dtype=bool), (1, 1))
    expected = loss(weight, pruned, inputs) / ((inputs @ weight.T) ** 2).sum()
    assert output_error(weight, pruned, inputs.T @ inputs) == pytest.approx(expected)
    assert output_error(weight, pruned, np.zeros((12, 12))) == 0.0
