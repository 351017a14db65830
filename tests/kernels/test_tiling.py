"""Register tiles: what every choice must keep, whatever the tuning prefers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_runner import LEVELS

from tvm_sparse.kernels.tiling import (
    TokenLayout,
    choose_layout,
    chunk_size,
    dense_rows,
    row_chunks,
    split_rows,
)
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.unit

ISAS = (*LEVELS, "aarch64")


@given(
    isa=st.sampled_from(ISAS),
    batch=st.integers(1, 8),
    seq_len=st.integers(1, 600),
    block_rows=st.sampled_from([0, 1, 4, 16, 32]),
)
def test_a_layout_covers_every_token_and_little_more(isa, batch, seq_len, block_rows):
    target = resolve_target(isa)
    layout = choose_layout(batch, seq_len, target, block_rows)
    assert layout.lanes == target.lanes
    assert layout.token_tile % layout.lanes == 0
    padded = layout.tiles_per_sequence * layout.token_tile
    assert seq_len <= padded < seq_len + layout.token_tile
    assert layout.shape(7) == (batch * layout.tiles_per_sequence, 7, layout.token_tile)
    least = -(-seq_len // target.lanes) * target.lanes
    assert padded <= max(least * 9 / 8, least + 2 * target.lanes)


@pytest.mark.parametrize("isa", ISAS)
def test_a_register_tile_leaves_room_for_operands(isa):
    target = resolve_target(isa)
    for vectors in (1, 2, 3, 4):
        layout = TokenLayout(1, 128, vectors * target.lanes, target.lanes)
        for rows in (dense_rows(layout, target), split_rows(layout, target)):
            assert rows >= 1
            assert rows * vectors < target.num_registers


@given(block_rows=st.integers(1, 70), most=st.integers(1, 30))
def test_row_chunks_cover_a_block_evenly(block_rows, most):
    chunks = row_chunks(block_rows, most)
    assert [row for start, count in chunks for row in range(start, start + count)] == list(
        range(block_rows)
    )
    assert max(count for _, count in chunks) <= most
    assert len(chunks) == -(-block_rows // most)


@given(rows=st.integers(1, 5000), panels=st.integers(1, 24))
def test_chunks_cover_the_rows_and_are_few(rows, panels):
    size = chunk_size(rows, panels)
    assert 1 <= size <= rows
    assert -(-rows // size) <= 32
