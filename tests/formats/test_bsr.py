"""Packing puts every block where its group, lane and step say, and evens out the chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_sparse.formats.bsr import Field, PackedBSR, SparseFormat, pack_bsr, panel_start
from tvm_sparse.sparsity.bsr import to_bsr

pytestmark = pytest.mark.unit

TOKEN_TILE = 16


def pack(weight: np.ndarray, block_shape: tuple[int, int], form: SparseFormat) -> PackedBSR:
    bsr = to_bsr(weight, block_shape)
    return pack_bsr(bsr.data, bsr.indices, bsr.indptr, weight.shape[1] // block_shape[1], form)


def unpack(packed: PackedBSR, shape: tuple[int, int], form: SparseFormat) -> np.ndarray:
    """Follow the arrays as the kernel does, one element at a time."""
    weight = np.zeros(shape, np.float32)
    steps, abreast, bs_c, bs_r = packed.data.shape
    num_block_cols = shape[1] // bs_c
    field = form.field(num_block_cols, bs_c)
    offsets = packed.offsets
    if field is not None:
        shared = packed.offsets.view(f"u{field.bits // 8}").reshape(steps, -1)
        offsets = shared.astype(np.int64) * field.unit
    for first_unit, stop_unit, *bounds in packed.chunks:
        for panel in range(form.panels):
            first_input = panel_start(panel, form.panels, num_block_cols) * bs_c
            units = packed.rows[bounds[panel] : bounds[panel + 1]].reshape(-1, abreast)
            first = bounds[panel] * form.lanes // abreast
            for nth, rows in enumerate(units, first):
                for step in range(packed.groups[nth], packed.groups[nth + 1]):
                    for lane, unit in enumerate(rows):
                        assert first_unit <= unit < stop_unit
                        k = first_input + int(offsets[step, lane]) // form.token_tile
                        weight[unit : unit + bs_r, k : k + bs_c] += packed.data[step, lane].T
    return weight


def random_weight(blocks, block_shape, share, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = rng.random(blocks) < share
    values = rng.standard_normal((blocks[0], block_shape[0], blocks[1], block_shape[1]))
    values = values * mask[:, None, :, None]
    shape = (blocks[0] * block_shape[0], blocks[1] * block_shape[1])
    return values.reshape(shape).astype(np.float32)


@settings(max_examples=60)
@given(
    block_shape=st.tuples(st.integers(1, 5), st.integers(1, 3)),
    groups=st.integers(1, 9),
    block_cols=st.integers(1, 20),
    share=st.floats(0, 1),
    lanes=st.sampled_from((1, 2, 3, 4, 8)),
    panels=st.integers(1, 6),
    chunks=st.integers(1, 5),
    lookahead=st.integers(0, 3),
    lane_major=st.booleans(),
)
def test_every_block_is_found_again(
    block_shape, groups, block_cols, share, lanes, panels, chunks, lookahead, lane_major
):  # fmt: skip
    blocks = (groups * lanes, block_cols)
    weight = random_weight(blocks, block_shape, share)
    form = SparseFormat(TOKEN_TILE, lanes, panels, chunks, lookahead, lane_major=lane_major)
    packed = pack(weight, block_shape, form)
    np.testing.assert_array_equal(unpack(packed, weight.shape, form), weight)


def test_rows_of_equal_length_share_a_group():
    """Sorted by length, so that less is padded than in the order of the rows."""
    weight = np.zeros((4, 8), np.float32)
    for row, count in enumerate((1, 7, 1, 7)):
        weight[row, :count] = row + 1
    packed = pack(weight, (1, 1), SparseFormat(TOKEN_TILE, lanes=2))
    np.testing.assert_array_equal(packed.rows, [[1, 3], [0, 2]])
    np.testing.assert_array_equal(packed.groups, [0, 7, 8])
    np.testing.assert_array_equal(packed.chunks, [[0, 4, 0, 2]])


def test_lanes_one_by_one_are_neighbours():
    """In order, the longer one first, and nothing is padded."""
    weight = np.zeros((4, 8), np.float32)
    for row, count in enumerate((1, 7, 3, 2)):
        weight[row, :count] = row + 1
    packed = pack(weight, (1, 1), SparseFormat(TOKEN_TILE, lanes=2, lane_major=True))
    np.testing.assert_array_equal(packed.rows, [[1, 0], [2, 3]])
    np.testing.assert_array_equal(packed.groups, [0, 7, 8, 11, 13])
    np.testing.assert_array_equal(packed.data.ravel(), np.repeat([2, 1, 3, 4], [7, 1, 3, 2]))
    np.testing.assert_array_equal(packed.chunks, [[0, 4, 0, 2]])


def test_chunks_have_equally_many_blocks():
    """Half of the blocks lie in an eighth of the rows."""
    rng = np.random.default_rng(1)
    dense_rows = np.arange(64)[:, None] < 8
    weight = (rng.random((64, 512)) < np.where(dense_rows, 0.7, 0.1)).astype(np.float32)
    packed = pack(weight, (1, 1), SparseFormat(TOKEN_TILE, chunks=4))
    shares = [
        np.count_nonzero(weight[first:stop]) / np.count_nonzero(weight)
        for first, stop in packed.chunks[:, :2]
    ]
    assert max(shares) < 0.32
    assert packed.chunks[0, 0] == 0
    assert packed.chunks[-1, 1] == 64
    np.testing.assert_array_equal(packed.chunks[1:, 0], packed.chunks[:-1, 1])


def test_chunks_end_between_groups():
    weight = random_weight((24, 40), (1, 1), 0.5)
    packed = pack(weight, (1, 1), SparseFormat(TOKEN_TILE, lanes=8, chunks=2))
    assert not (packed.chunks[:, :2] % 8).any()


def test_more_chunks_than_rows_leaves_some_empty():
    weight = random_weight((2, 5), (4, 1), 1.0)
    packed = pack(weight, (4, 1), SparseFormat(TOKEN_TILE, chunks=5))
    form = SparseFormat(TOKEN_TILE, chunks=5)
    np.testing.assert_array_equal(unpack(packed, weight.shape, form), weight)


def test_an_all_zero_weight_keeps_a_step_nobody_takes():
    packed = pack(np.zeros((8, 6), np.float32), (4, 1), SparseFormat(TOKEN_TILE))
    assert packed.data.shape == (1, 1, 1, 4)
    assert not packed.groups.any()


def test_the_kernel_may_look_past_the_last_step():
    weight = random_weight((3, 6), (4, 1), 0.5)
    plain = pack(weight, (4, 1), SparseFormat(TOKEN_TILE))
    longer = pack(weight, (4, 1), SparseFormat(TOKEN_TILE, lookahead=5))
    steps = len(plain.data)
    for array, more in ((plain.data, longer.data), (plain.offsets, longer.offsets)):
        np.testing.assert_array_equal(more[:steps], array)
        assert more[steps:].shape == (5, *array.shape[1:])
        assert not more[steps:].any()
    np.testing.assert_array_equal(longer.groups, plain.groups)


@pytest.mark.parametrize(
    ("lanes", "panels", "block_cols", "field", "words"),
    [
        (4, 1, 40, Field(16, 1), 1),
        (4, 1, 5_000, Field(16, TOKEN_TILE), 1),
        (8, 1, 256, Field(8, TOKEN_TILE), 1),
        (8, 1, 257, Field(16, 1), 2),
        (12, 2, 512, Field(8, TOKEN_TILE), 2),
        (12, 1, 512, Field(16, 1), 3),
        (4, 1, 70_000, None, None),
        (2, 1, 40, None, None),
    ],
)
def test_lanes_share_words_of_offsets(lanes, panels, block_cols, field, words):
    weight = np.zeros((lanes, block_cols), np.float32)
    columns = np.linspace(0, block_cols - 1, lanes).astype(int)
    weight[np.arange(lanes), columns] = 1
    form = SparseFormat(TOKEN_TILE, lanes, panels)
    packed = pack(weight, (1, 1), form)
    assert form.field(block_cols, 1) == field
    if field is None:
        assert (packed.offsets.dtype, packed.offsets.shape[1]) == (np.int32, lanes)
    else:
        assert (packed.offsets.dtype, packed.offsets.shape[1]) == (np.int64, words)
    np.testing.assert_array_equal(unpack(packed, weight.shape, form), weight)


def test_what_is_given_stays_as_it_is():
    bsr = to_bsr(random_weight((4, 6), (2, 1), 0.5), (2, 1))
    before = [array.copy() for array in (bsr.data, bsr.indices, bsr.indptr)]
    packed = pack_bsr(bsr.data, bsr.indices, bsr.indptr, 6, SparseFormat(TOKEN_TILE))
    for array, kept in zip((bsr.data, bsr.indices, bsr.indptr), before, strict=True):
        np.testing.assert_array_equal(array, kept)
    assert all(array.flags.c_contiguous for array in packed.arrays)
