"""BSR: the same triple as scipy's, round trips, and wrong triples refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.bsr import apply_block_mask, block_mask, to_bsr, to_dense

pytestmark = pytest.mark.unit

BLOCKS = [(1, 1), (4, 1), (16, 1), (32, 1), (4, 4), (16, 16), (1, 8), (3, 5)]


@st.composite
def sparse_weights(draw):
    bs_r, bs_c = draw(st.sampled_from(BLOCKS))
    rows, cols = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weight = rng.standard_normal((rows * bs_r, cols * bs_c)).astype(np.float32)
    weight[rng.random(weight.shape) < draw(st.sampled_from([0.0, 0.5, 0.95, 1.0]))] = 0
    mask = rng.random((rows, cols)) >= draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    return apply_block_mask(weight, mask, (bs_r, bs_c)), (bs_r, bs_c)


@given(sparse_weights())
def test_round_trip_and_scipy_agree(case):
    weight, block_shape = case
    before = weight.copy()
    bsr = to_bsr(weight, block_shape)
    bsr.validate()
    np.testing.assert_array_equal(to_dense(bsr), weight)
    np.testing.assert_array_equal(weight, before)

    expected = scipy.sparse.bsr_matrix(weight, blocksize=block_shape)
    expected.eliminate_zeros()
    expected.sort_indices()
    np.testing.assert_array_equal(bsr.data, expected.data)
    np.testing.assert_array_equal(bsr.indices, expected.indices)
    np.testing.assert_array_equal(bsr.indptr, expected.indptr)
    assert bsr.data.flags.c_contiguous
    assert bsr.data.dtype == weight.dtype
    assert bsr.indices.dtype == bsr.indptr.dtype == np.int32


@given(sparse_weights())
def test_transposed_view_packs_like_its_copy(case):
    weight, block_shape = case
    view = np.ascontiguousarray(weight.T).T
    packed, expected = to_bsr(view, block_shape), to_bsr(weight, block_shape)
    np.testing.assert_array_equal(packed.data, expected.data)
    np.testing.assert_array_equal(packed.indices, expected.indices)


def test_known_triple():
    weight = np.zeros((4, 4), np.float32)
    weight[0:2, 2:4] = [[1, 2], [3, 0]]
    bsr = to_bsr(weight, (2, 2))
    np.testing.assert_array_equal(bsr.data, [[[1, 2], [3, 0]]])
    assert bsr.indices.tolist() == [1]
    assert bsr.indptr.tolist() == [0, 1, 1]  # the second block row is empty
    assert (bsr.nnzb, bsr.block_shape, bsr.block_sparsity) == (1, (2, 2), 0.75)
    assert bsr.size_bytes == 4 * 4 + 4 + 3 * 4


@pytest.mark.parametrize("block_shape", [(1, 1), (4, 1), (4, 4)])
@pytest.mark.parametrize(("value", "nnzb_share"), [(0.0, 0), (1.0, 1)])
def test_all_zero_and_fully_dense(block_shape, value, nnzb_share):
    weight = np.full((8, 12), value, np.float32)
    bsr = to_bsr(weight, block_shape)
    bsr.validate()
    assert bsr.nnzb == nnzb_share * 96 // (block_shape[0] * block_shape[1])
    assert bsr.data.shape[1:] == block_shape
    np.testing.assert_array_equal(to_dense(bsr), weight)


def test_negative_zero_is_zero_and_nan_is_not():
    assert block_mask(np.array([[-0.0, np.nan]], np.float32), (1, 1)).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("shape", "block_shape"), [((768, 3072), (5, 3)), ((10, 8), (4, 1)), ((8, 10), (1, 4)),
                               ((4, 4), (8, 1)), ((4, 4), (0, 1))]
)  # fmt: skip
def test_blocks_that_do_not_divide_are_refused(shape, block_shape):
    with pytest.raises(SparsityError, match=f"block {block_shape[0]}x{block_shape[1]} given for a"):
        to_bsr(np.ones(shape, np.float32), block_shape)


def test_a_vector_is_refused():
    with pytest.raises(SparsityError, match="rank 1 given"):
        to_bsr(np.ones(8, np.float32), (1, 1))


def int32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indices": int32(1, 0, 1)}, "ascend within each row"),
        ({"indices": int32(0, 2, 1)}, "must be below 2"),
        ({"indices": int32(-1, 1, 1)}, "must be below 2"),
        ({"indices": np.array([0, 1, 1])}, "both must be int32"),
        ({"indices": int32(0, 1)}, "2 indices and 3 row pointers"),
        ({"indptr": int32(0, 2)}, "2 row pointers given: 2 block rows"),
        ({"indptr": int32(0, 3, 2)}, "ascend from 0 to nnzb = 3"),
        ({"indptr": int32(1, 2, 3)}, "ascend from 0 to nnzb = 3"),
        ({"data": np.ones((3, 4), np.float32)}, "of rank 2, 1 and 1 given"),
        ({"shape": (5, 4)}, "block 2x2 given"),
    ],
)
def test_wrong_triples_are_refused(change, message):
    weight = np.ones((4, 4), np.float32)
    weight[2:, :2] = 0
    good = to_bsr(weight, (2, 2))
    good.validate()
    with pytest.raises(SparsityError, match=message):
        replace(good, **change).validate()
