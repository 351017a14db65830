"""Random block structures: exact counts, seeded by layer, values at the weight's scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.bsr import block_mask, to_bsr
from tvm_sparse.sparsity.patterns import (
    DEFAULT_SCALE,
    fill_random,
    layer_rng,
    random_block_mask,
    zero_block_count,
)

pytestmark = pytest.mark.unit

BLOCKS = [(1, 1), (4, 1), (16, 1), (4, 4), (2, 3)]


@given(
    st.integers(1, 12), st.integers(1, 12), st.sampled_from(BLOCKS), st.floats(0, 1),
    st.floats(0, 1), st.integers(0, 1000),
)  # fmt: skip
def test_block_count_is_exact(rows, cols, block_shape, sparsity, own_zeros, seed):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((rows * block_shape[0], cols * block_shape[1]))
    weight[rng.random(weight.shape) < own_zeros] = 0
    before = weight.copy()
    filled = fill_random(weight, block_shape, sparsity, layer_rng(seed, "layer"))
    assert to_bsr(filled, block_shape).nnzb == rows * cols - round(rows * cols * sparsity)
    np.testing.assert_array_equal(weight, before)
    assert filled.dtype == weight.dtype


@pytest.mark.parametrize("sparsity", [0.0, 1.0])
def test_both_ends(sparsity):
    mask = random_block_mask((7, 5), sparsity, layer_rng(0, "a"))
    assert mask.shape == (7, 5)
    assert mask.all() if sparsity == 0 else not mask.any()


def test_count_at_size_of_a_real_layer():
    mask = random_block_mask((3072, 768), 0.95, layer_rng(0, "a"))
    assert mask.size - mask.sum() == zero_block_count(3072 * 768, 0.95) == 2241331


def test_structure_covers_all_blocks_evenly():
    hits = sum(
        random_block_mask((4, 4), 0.75, layer_rng(seed, "a")).astype(int) for seed in range(400)
    )
    # 400 draws at 1/4: mean 100, standard deviation 8.7.
    assert hits.min() > 60
    assert hits.max() < 140


def test_seed_and_name_decide():
    weight = np.ones((32, 32), np.float32)

    def fill(seed: int, name: str) -> np.ndarray:
        return fill_random(weight, (4, 1), 0.5, layer_rng(seed, name))

    np.testing.assert_array_equal(fill(0, "a"), fill(0, "a"))
    assert (fill(0, "a") != fill(1, "a")).any()
    assert (fill(0, "a") != fill(0, "b")).any()


def test_the_stream_of_a_seed_is_pinned():
    """Cached builds and published numbers depend on it: a change must be noticed."""
    mask = random_block_mask((2, 8), 0.75, layer_rng(0, "bert/encoder/layer_._0/output/kernel"))
    assert np.flatnonzero(mask).tolist() == [0, 2, 9, 14]


def test_kept_blocks_keep_their_values():
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    filled = fill_random(weight, (4, 1), 0.5, layer_rng(0, "a"))
    kept = np.repeat(block_mask(filled, (4, 1)), 4, axis=0)
    np.testing.assert_array_equal(filled[kept], weight[kept])
    assert not filled[~kept].any()


@pytest.mark.parametrize("order", ["C", "F"])
def test_empty_blocks_are_filled_at_the_scale_of_the_weight(order):
    weight = np.zeros((256, 256), np.float32, order)
    weight[:128] = np.random.default_rng(0).standard_normal((128, 256)) * 0.3
    filled = fill_random(weight, (4, 4), 0.0, layer_rng(0, "a"))
    assert filled.dtype == np.float32
    assert np.std(filled[128:]) == pytest.approx(0.3, rel=0.05)
    np.testing.assert_array_equal(filled[:128], weight[:128])


def test_all_zero_weight_gets_the_default_scale():
    filled = fill_random(np.zeros((128, 128), np.float32), (1, 1), 0.5, layer_rng(0, "a"))
    assert np.std(filled[filled != 0]) == pytest.approx(DEFAULT_SCALE, rel=0.1)
    assert np.count_nonzero(filled) == 128 * 128 // 2


def test_indivisible_is_refused():
    with pytest.raises(SparsityError, match="block 5x3 given"):
        fill_random(np.ones((8, 8)), (5, 3), 0.5, layer_rng(0, "a"))
