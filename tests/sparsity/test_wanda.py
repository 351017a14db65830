"""Wanda ranks by |W| * ||X||, and compares within an output."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.bsr import block_mask
from tvm_sparse.sparsity.prune_layer import InputMoments, prune_layer
from tvm_sparse.sparsity.prune_spec import PruneSpec
from tvm_sparse.sparsity.wanda import wanda_scores

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(3)
WEIGHT = RNG.standard_normal((8, 12)).astype(np.float32)
INPUTS = RNG.standard_normal((50, 12)) * np.geomspace(0.01, 10, 12)
NORMS = (INPUTS**2).sum(axis=0)


def test_scores_of_elements_are_those_of_the_paper():
    expected = np.abs(WEIGHT) * np.linalg.norm(INPUTS, axis=0)
    np.testing.assert_allclose(np.sqrt(wanda_scores(WEIGHT, NORMS, (1, 1))), expected, rtol=1e-6)


@pytest.mark.parametrize("block_shape", [(4, 1), (2, 3)])
def test_scores_of_blocks_add_up_squares(block_shape):
    rows, cols = block_shape
    single = wanda_scores(WEIGHT, NORMS, (1, 1))
    expected = [
        [single[i : i + rows, j : j + cols].sum() for j in range(0, 12, cols)]
        for i in range(0, 8, rows)
    ]
    np.testing.assert_allclose(wanda_scores(WEIGHT, NORMS, block_shape), expected, rtol=1e-9)


@pytest.mark.parametrize(("block_shape", "zeros"), [((1, 1), 59), ((4, 1), 13), ((2, 3), 8)])
def test_pruned_weights_keep_their_values_and_rows_their_share(block_shape, zeros):
    spec = PruneSpec(method="wanda", sparsity=0.5, block_shape=block_shape)
    pruned = prune_layer(WEIGHT, spec, zeros, InputMoments(NORMS, None, 50))
    mask = block_mask(pruned, block_shape)
    assert (~mask).sum() == zeros
    assert np.ptp(mask.sum(axis=1)) <= 1
    np.testing.assert_array_equal(pruned[pruned != 0], WEIGHT[pruned != 0])
    assert pruned.dtype == np.float32


def test_an_input_that_is_always_zero_goes_first():
    norms = np.where(np.arange(12) == 5, 0.0, NORMS)
    spec = PruneSpec(method="wanda", sparsity=0.5)
    pruned = prune_layer(WEIGHT, spec, 8, InputMoments(norms, None, 50))
    np.testing.assert_array_equal(np.flatnonzero((pruned == 0).any(axis=0)), [5])


def test_refusals():
    with pytest.raises(SparsityError, match="11 input norms given for a weight with 12"):
        wanda_scores(WEIGHT, NORMS[:-1], (1, 1))
    with pytest.raises(SparsityError, match="block 5x1 given"):
        wanda_scores(WEIGHT, NORMS, (5, 1))
    with pytest.raises(SparsityError, match="needs the layer's inputs"):
        prune_layer(WEIGHT, PruneSpec(method="wanda", sparsity=0.5), 4, None)
