"""Magnitude pruning removes exactly the least blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.bsr import block_mask
from tvm_sparse.sparsity.pruning import block_norms_squared, magnitude_block_mask, prune_magnitude

pytestmark = pytest.mark.unit

BLOCKS = [(1, 1), (4, 1), (16, 1), (4, 4), (2, 3)]


@given(
    st.integers(1, 10), st.integers(1, 10), st.sampled_from(BLOCKS), st.floats(0, 1),
    st.integers(1, 4), st.integers(0, 1000),
)  # fmt: skip
def test_matches_a_stable_sort(rows, cols, block_shape, sparsity, levels, seed):
    rng = np.random.default_rng(seed)
    # Few distinct magnitudes, so that there are many ties.
    magnitudes = rng.integers(0, levels, (rows, cols)).astype(np.float32)
    weight = np.kron(magnitudes, np.ones(block_shape, np.float32))
    mask = magnitude_block_mask(weight, block_shape, sparsity)
    order = np.argsort(block_norms_squared(weight, block_shape).ravel(), kind="stable")
    expected = np.ones(rows * cols, bool)
    expected[order[: round(rows * cols * sparsity)]] = False
    np.testing.assert_array_equal(mask, expected.reshape(rows, cols))


def test_keeps_the_largest_and_their_values():
    weight = np.array([[1, -5, 2, 2], [1, 5, 2, 2]], np.float32)
    before = weight.copy()
    pruned = prune_magnitude(weight, (2, 1), 0.75)
    np.testing.assert_array_equal(pruned, [[0, -5, 0, 0], [0, 5, 0, 0]])
    np.testing.assert_array_equal(weight, before)
    assert pruned.dtype == np.float32


def test_norm_is_over_the_block_not_the_largest_element():
    weight = np.array([[3.0, 2.0], [0.0, 2.5]])  # norms 3.0 and 3.2 of the columns
    assert magnitude_block_mask(weight, (2, 1), 0.5).tolist() == [[False, True]]


@pytest.mark.parametrize(("sparsity", "kept"), [(0.0, 16), (1.0, 0)])
def test_both_ends(sparsity, kept):
    weight = np.random.default_rng(0).standard_normal((16, 4))
    assert block_mask(prune_magnitude(weight, (4, 1), sparsity), (4, 1)).sum() == kept


def test_a_sparser_weight_stays_as_it_is():
    weight = np.zeros((8, 8), np.float32)
    weight[3, 4] = 1
    np.testing.assert_array_equal(prune_magnitude(weight, (1, 1), 0.5), weight)
    zero = np.zeros((8, 8), np.float32)
    np.testing.assert_array_equal(prune_magnitude(zero, (4, 4), 0.5), zero)


def test_half_precision_does_not_overflow():
    weight = np.full((4, 4), 60000, np.float16)
    assert np.isfinite(block_norms_squared(weight, (4, 4))).all()


def test_indivisible_is_refused():
    with pytest.raises(SparsityError, match="block 5x3 given"):
        prune_magnitude(np.ones((8, 8)), (5, 3), 0.5)
