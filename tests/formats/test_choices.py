"""Layouts and forms: what every choice must keep, whatever the tuning prefers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_runner import LEVELS

from tvm_sparse.bench.product_kernel import build_product
from tvm_sparse.formats.bsr import Field, SparseFormat
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.token_layout import (
    TokenLayout,
    choose_layout,
    choose_open_layout,
    split_rows,
)
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.sparsity.patterns import fill_random
from tvm_sparse.target import CpuTarget, pays_in_parallel, resolve_target
from tvm_sparse.tiles import NO_TILES, DenseTile, SparseTile, Tiles, TokenTile

pytestmark = pytest.mark.unit

ISAS = (*LEVELS, "aarch64")


def dense_rows(layout: TokenLayout, target: CpuTarget, shape: tuple[int, int]) -> int:
    return DenseFormat.choose(ProductShape(*shape, layout), target).rows


def sparse_format(
    num_blocks: tuple[int, int],
    block_shape: tuple[int, int],
    density: float,
    layout: TokenLayout,
    target: CpuTarget,
) -> SparseFormat:
    units, depth = (n * extent for n, extent in zip(num_blocks, block_shape, strict=True))
    return SparseFormat.choose(ProductShape(units, depth, layout, block_shape, density), target)


@given(
    isa=st.sampled_from(ISAS),
    batch=st.integers(1, 8),
    seq_len=st.integers(1, 600),
    block_rows=st.sampled_from([0, 1, 4, 16, 32]),
)
def test_a_layout_covers_every_token_and_little_more(isa, batch, seq_len, block_rows):
    target = resolve_target(isa)
    layout = choose_layout(batch, seq_len, target, block_rows)
    assert layout.lanes == target.lanes()
    assert layout.token_tile % layout.lanes == 0
    padded = layout.tiles_per_sequence * layout.token_tile
    assert seq_len <= padded < seq_len + layout.token_tile
    assert layout.shape(7) == (batch * layout.tiles_per_sequence, 7, layout.token_tile)
    least = -(-seq_len // target.lanes()) * target.lanes()
    # What is missing in the last tile counts half, and costs an eighth at most.
    assert padded - least <= least / 4


@pytest.mark.parametrize("isa", ISAS)
def test_a_register_tile_leaves_room_for_operands(isa):
    target = resolve_target(isa)
    for vectors in (1, 2, 3, 4):
        layout = TokenLayout(1, 128, vectors * target.lanes(), target.lanes())
        for rows in (dense_rows(layout, target, (768, 768)), split_rows(layout, target)):
            assert rows >= 1
            assert rows * vectors < target.num_registers


@given(
    isa=st.sampled_from(ISAS),
    tokens=st.integers(1, 3000),
    blocks=st.tuples(st.integers(1, 4096), st.integers(1, 4096)),
    block_shape=st.tuples(st.sampled_from([1, 2, 3, 4, 8, 16, 32]), st.sampled_from([1, 4])),
    density=st.floats(0, 1),
    threads=st.sampled_from([1, 2, 16, 64]),
)
def test_a_sparse_format_fits_registers_and_rows(
    isa, tokens, blocks, block_shape, density, threads
):
    target = resolve_target(isa, threads)
    layout = choose_layout(1, tokens, target, block_shape[0])
    form = sparse_format(blocks, block_shape, density, layout, target)
    assert form.token_tile == layout.token_tile
    assert blocks[0] % form.lanes == 0
    assert 1 <= form.panels <= max(1, blocks[1])
    assert 1 <= form.chunks <= blocks[0] // form.lanes
    assert not form.lane_major or form.lanes > 1
    if form.lanes > 1:
        assert form.lanes * block_shape[0] * layout.vectors < target.num_registers


def test_low_blocks_at_base_size_use_panels_and_words_of_columns():
    target = resolve_target("x86-64-v4", 2)
    layout = choose_layout(1, 128, target, 1)
    form = sparse_format((768, 768), (1, 1), 0.05, layout, target)
    assert form.lanes == 12
    assert form.panels > 1
    assert form.field(768, 1) == Field(8, layout.token_tile)
    assert form.lookahead == 0


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("block_rows", [1, 2, 4, 16])
def test_lanes_of_an_open_layout_fit_with_every_number_of_tiles(isa, block_rows):
    target = resolve_target(isa)
    layout = choose_open_layout(target, block_rows)
    form = sparse_format((192, 768), (block_rows, 1), 0.05, layout, target)
    most = target.num_registers - 4
    for tiles in range(1, layout.together + 1):
        lanes = form.lanes_together(tiles)
        assert form.lanes % lanes == 0
        rows = min(block_rows, split_rows(layout, target) * (layout.together // tiles))
        assert lanes * rows * tiles <= most
        if (field := form.field(768, 1)) is not None and lanes < form.lanes:
            per_word = 64 // field.bits
            assert lanes % per_word == 0 or per_word % lanes == 0


def test_an_open_layout_takes_the_tile_that_was_tuned_at_the_nominal_length():
    tuned = Tiles(tokens=(TokenTile(0, 128, 3), TokenTile(1, 64, 3)))
    target = resolve_target("x86-64-v4")
    assert choose_open_layout(replace(target, tiles=tuned)).together == 3
    assert choose_open_layout(replace(target, tiles=tuned), 1) == choose_open_layout(target, 1)


def test_high_blocks_look_ahead_where_that_was_measured():
    for isa, lookahead in (("x86-64-v3", 16), ("x86-64-v4", 0)):
        target = resolve_target(isa, 2)
        layout = choose_layout(1, 128, target, 4)
        assert sparse_format((192, 768), (4, 1), 0.05, layout, target).lookahead == lookahead


def test_more_threads_get_more_chunks():
    layout = choose_layout(1, 128, resolve_target("x86-64-v4"), 4)
    few, many = (
        sparse_format((768, 3072), (4, 1), 0.1, layout, resolve_target("x86-64-v4", threads))
        for threads in (2, 32)
    )
    assert few.chunks < many.chunks
    assert many.chunks * layout.num_tiles >= 32


@pytest.mark.parametrize(("tokens", "threads", "chunks"), [(128, 2, 1), (192, 2, 2), (64, 8, 8)])
def test_token_tiles_are_cut_where_threads_would_get_unequal_shares(tokens, threads, chunks):
    target = resolve_target("x86-64-v4", threads)
    layout = TokenLayout(1, tokens, 64, 16)
    assert sparse_format((192, 768), (4, 1), 0.5, layout, target).chunks == chunks


def test_small_products_are_not_cut():
    target = resolve_target("x86-64-v4", 8)
    layout = TokenLayout(1, 16, 16, 16)
    assert sparse_format((96, 384), (4, 1), 0.05, layout, target).chunks == 1
    assert not pays_in_parallel(2 * 16 * 0.05 * 384 * 384)
    assert pays_in_parallel(2 * 16 * 384 * 384)


def test_threads_share_little_work_on_tokens_that_they_have():
    two_tiles, one_tile = TokenLayout(1, 128, 64, 16), TokenLayout(1, 16, 16, 16)
    operations = 20.0 * 256
    assert pays_in_parallel(operations * 128, two_tiles.kept_values(256))
    assert not pays_in_parallel(operations * 128)
    assert one_tile.kept_values(1 << 20) == 0
    assert not pays_in_parallel(20.0 * 32 * 128, two_tiles.kept_values(32))


def test_tuned_tiles_stand_for_the_table():
    tiles = Tiles(
        (TokenTile(0, 128, 1), TokenTile(1, 128, 3)),
        (DenseTile(768, 384, 1, 8),),
        (SparseTile(768, 384, (1, 1), 3, 0.05, 2, 5, 7),),
    )
    # Of this machine: tiles of one are nothing to builds for another.
    target = resolve_target(tiles=tiles)
    dense, sparse = (choose_layout(1, 128, target, rows) for rows in (0, 1))
    assert (dense.vectors, sparse.vectors) == (1, 3)
    assert dense_rows(dense, target, (768, 384)) == 8
    assert dense_rows(dense, target, (768, 768)) == dense_rows(dense, resolve_target(), (768, 768))
    form = sparse_format((768, 384), (1, 1), 0.05, sparse, target)
    assert (form.lanes, form.panels, form.lookahead) == (2, 5, 7)
    others = [isa for isa in ("x86-64-v2", "x86-64-v3", "aarch64") if isa != target.isa]
    assert all(resolve_target(isa, tiles=tiles).tiles == NO_TILES for isa in others)


@pytest.mark.numeric
@pytest.mark.parametrize("vectors", [1, 2, 3])
@pytest.mark.parametrize(
    ("block_shape", "lanes", "panels"), [((1, 1), 4, 3), ((1, 1), 2, 1), ((4, 1), 2, 5)]
)
def test_any_tuned_packing_multiplies_right(vectors, block_shape, lanes, panels):
    rng = np.random.default_rng(0)
    weight = fill_random(rng.standard_normal((48, 96)).astype(np.float32), block_shape, 0.9, rng)
    tiles = Tiles(
        (TokenTile(block_shape[0], 33, vectors),),
        sparse=(SparseTile(48, 96, block_shape, vectors, 0.1, lanes, panels),),
    )
    check_product(weight, block_shape, tiles)


@pytest.mark.numeric
@pytest.mark.parametrize(("vectors", "rows"), [(1, 5), (2, 8), (3, 4)])
def test_any_tuned_register_tile_multiplies_right(vectors, rows):
    weight = np.random.default_rng(0).standard_normal((48, 96)).astype(np.float32)
    tiles = Tiles((TokenTile(0, 33, vectors),), (DenseTile(48, 96, vectors, rows),))
    check_product(weight, None, tiles)


def check_product(weight, block_shape, tiles) -> None:
    data = np.random.default_rng(1).standard_normal((33, weight.shape[1])).astype(np.float32)
    kernel = build_product(weight, 33, block_shape, tiles=tiles)
    assert kernel.shapes[0][-1] == tiles.tokens[0].vectors * resolve_target().lanes()
    call, read = kernel.bind(data)
    call()
    np.testing.assert_allclose(read(), data @ weight.T, rtol=1e-4, atol=1e-4)
