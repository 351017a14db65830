"""Every kernel on tiles of an open layout: any number of sequences, each of its own length."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from attention_truth import padding, truth
from kernel_runner import RUNNABLE, dense_tolerance, dense_truth, normal, run
from ragged import BATCHES, rectangle, tile_map, to_sequences, to_tiles
from scipy import sparse
from tolerances import ELEMENTWISE, dot

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.token_layout import TokenLayout, choose_open_layout, split_rows
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.attention import make_attention
from tvm_sparse.kernels.attention_shape import AttentionShape
from tvm_sparse.kernels.bsr_sparse_dense import make_bsr_sparse_dense
from tvm_sparse.kernels.first_tokens import make_first_tokens
from tvm_sparse.kernels.layer_norm import make_layer_norm
from tvm_sparse.kernels.open_dense import make_open_dense
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.kernels.row_dense import make_row_dense
from tvm_sparse.kernels.tiling import attention_tile, norm_vectors, panels_together, row_panel
from tvm_sparse.kernels.token_layout import (
    make_gather_tokens,
    make_pack_tokens,
    make_unpack_tokens,
)
from tvm_sparse.ops.packed_dense import PackedDense
from tvm_sparse.ops.tiled_sparse_dense import TiledSparseDense
from tvm_sparse.sparsity.patterns import fill_random
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric

EPILOGUES = (Epilogue(bias=True, residual=True), Epilogue(bias=True, activation="gelu"))


def sequences_of(lengths, features: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [normal(rng, length, features) for length in lengths]


def check_product(make, arrays, weight, layout: TokenLayout, isa: str, epilogue: Epilogue) -> None:
    """Compare a product with numpy on all batches."""
    units, depth = weight.shape
    bias = normal(np.random.default_rng(1), units) if epilogue.bias else None
    for lengths in BATCHES:
        data, residual = sequences_of(lengths, depth), sequences_of(lengths, units, seed=2)
        chart = tile_map(lengths, layout)
        out = run(
            make,
            [
                to_tiles(data, layout),
                *arrays,
                bias,
                to_tiles(residual, layout) if epilogue.residual else None,
                chart,
            ],
            (len(chart), units, layout.token_tile),
            isa,
        )
        assert np.isfinite(out).all()
        for found, rows, added in zip(
            to_sequences(out, lengths, layout), data, residual, strict=True
        ):
            wanted = dense_truth(rows, weight, epilogue, bias, added if epilogue.residual else None)
            np.testing.assert_allclose(found, wanted, **dense_tolerance(depth, epilogue))


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("epilogue", EPILOGUES)
def test_packed_dense(isa, epilogue):
    target = resolve_target(isa)
    layout = choose_open_layout(target)
    weight = normal(np.random.default_rng(0), 150, 40)
    form = DenseFormat.choose(ProductShape(150, 40, layout), target)
    together = panels_together(layout, 150, target)
    make = make_open_dense(layout, 150, 40, together, epilogue)
    check_product(make, form.pack([weight], 40), weight, layout, isa, epilogue)


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("block_shape", [(1, 1), (4, 1), (16, 1)])
def test_bsr_sparse_dense(isa, block_shape):
    target = resolve_target(isa)
    layout = choose_open_layout(target, block_shape[0])
    rng = np.random.default_rng(0)
    weight = fill_random(normal(rng, 96, 64), block_shape, 0.7, rng)
    blocks = sparse.bsr_matrix(weight, blocksize=block_shape)
    blocks.sort_indices()
    shape = ProductShape(96, 64, layout, block_shape, 0.3)
    form, rows = SparseFormat.choose(shape, target), split_rows(layout, target)
    for epilogue in EPILOGUES:
        make = make_bsr_sparse_dense(layout, 96, 64, block_shape, rows, epilogue, form)
        arrays = form.pack((blocks.data, blocks.indices, blocks.indptr), 64)
        check_product(make, arrays, weight, layout, isa, epilogue)


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("block_shape", [(0, 0), (4, 1)])
def test_one_kernel_multiplies_with_an_activation_and_without(isa, block_shape):
    """To the bit what kernels compute that always have it, or never."""
    target = resolve_target(isa)
    layout = choose_open_layout(target, block_shape[0])
    rng = np.random.default_rng(0)
    weight, bias = normal(rng, 96, 64), normal(rng, 96)
    given = [weight]
    if block_shape[0]:
        weight = fill_random(weight, block_shape, 0.7, rng)
        blocks = sparse.bsr_matrix(weight, blocksize=block_shape)
        blocks.sort_indices()
        given = [blocks.data, blocks.indices, blocks.indptr]
    operator, weights = (
        (TiledSparseDense, SparseFormat) if block_shape[0] else (PackedDense, DenseFormat)
    )
    shape = ProductShape(96, 64, layout, block_shape, 0.3)
    form = weights.choose(shape, target)
    both, never = (
        operator.choose(shape, Epilogue(bias=True, activation=activation), form, target)
        for activation in ("gelu", "none")
    )
    asked = tvm.tirx.IntImm("int64", 1)
    for lengths in BATCHES:
        data, chart = to_tiles(sequences_of(lengths, 64), layout), tile_map(lengths, layout)
        for activates, own in enumerate((never, both)):
            outs = [
                run(
                    multiply.kernel(*flags)[1],
                    [data, *form.pack(given, 64), bias, *(activates for _ in flags), chart],
                    (len(chart), 96, layout.token_tile),
                    isa,
                )
                for multiply, flags in ((both, [asked]), (own, []))
            ]
            for pair in zip(*(to_sequences(out, lengths, layout) for out in outs), strict=True):
                np.testing.assert_array_equal(*pair)


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("residual", [False, True])
def test_layer_norm(isa, residual):
    target = resolve_target(isa)
    layout = choose_open_layout(target)
    rng = np.random.default_rng(3)
    gamma, beta = normal(rng, 37), normal(rng, 37)
    make = make_layer_norm(layout, 37, 1e-6, norm_vectors(layout, target), residual)
    for lengths in BATCHES:
        data, added = sequences_of(lengths, 37), sequences_of(lengths, 37, seed=2)
        chart = tile_map(lengths, layout)
        operands = [to_tiles(data, layout), gamma, beta]
        operands += [to_tiles(added, layout)] if residual else []
        out = run(make, [*operands, chart], (len(chart), 37, layout.token_tile), isa)
        for found, rows, more in zip(to_sequences(out, lengths, layout), data, added, strict=True):
            x = (rows + more if residual else rows).astype(np.float64)
            centred = x - x.mean(axis=1, keepdims=True)
            wanted = centred / np.sqrt(x.var(axis=1, keepdims=True) + 1e-6) * gamma + beta
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("mask_batch", [None, 1, 0])
def test_attention(isa, mask_batch):
    """Without a mask, with one row for all sequences, with a row for each."""
    target = resolve_target(isa)
    layout = choose_open_layout(target)
    heads, dim, scale = 2, 20, 20**-0.5
    features = (heads * dim,) * 3
    shape = AttentionShape(heads, dim, dim, features, (0, 0, 0), scale, mask_batch)
    make = make_attention(layout, shape, *attention_tile(layout, target))
    for lengths in BATCHES:
        rng = np.random.default_rng(5)
        operands = [sequences_of(lengths, heads * dim, seed) for seed in range(3)]
        mask = None
        if mask_batch is not None:
            mask = padding(rng, mask_batch or len(lengths), max(lengths))
        chart = tile_map(lengths, layout)
        out = run(
            make,
            [*(to_tiles(x, layout) for x in operands), mask, chart],
            (len(chart), heads * dim, layout.token_tile),
            isa,
        )
        for index, found in enumerate(to_sequences(out, lengths, layout)):
            query, key, value = (x[index][None] for x in operands)
            row = None if mask is None else mask[index if mask_batch == 0 else 0, None]
            row = None if row is None else row[:, : lengths[index]]
            tolerance = dot(dim, scale=float(scale) * 4)
            np.testing.assert_allclose(
                found,
                truth(query, key, value, heads, scale, row)[0],
                rtol=tolerance["rtol"] + ELEMENTWISE["rtol"],
                atol=2 * (tolerance["atol"] + ELEMENTWISE["atol"]),
            )


def test_keys_are_read_within_their_tile():
    """More keys fit the registers of AArch64 than its tiles have, which are as wide as v2's."""
    layout = choose_open_layout(resolve_target("x86-64-v2"))
    lengths, dim = (3, 9), 4
    query, key, value = (sequences_of(lengths, dim, seed) for seed in range(3))
    # What lies behind a tile's part of the third feature would tower over every score.
    query, key = [q * [0.1, 0.1, 50, 0] for q in query], [k * [1, 1, 0, 1e4] for k in key]
    shape = AttentionShape(1, dim, dim, (dim,) * 3, (0, 0, 0), 1.0, None)
    make = make_attention(layout, shape, vectors=1, rows=2 * layout.token_tile)
    operands = [to_tiles([x.astype(np.float32) for x in xs], layout) for xs in (query, key, value)]
    chart = tile_map(lengths, layout)
    out = run(make, [*operands, None, chart], (len(chart), dim, layout.token_tile), "x86-64-v2")
    for index, found in enumerate(to_sequences(out, lengths, layout)):
        wanted = truth(query[index][None], key[index][None], value[index][None], 1, 1.0, None)
        np.testing.assert_allclose(found, wanted[0], **ELEMENTWISE)


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("features", [64, 33])
def test_there_and_back(isa, features):
    layout = choose_open_layout(resolve_target(isa))
    for lengths in BATCHES:
        data, chart = sequences_of(lengths, features), tile_map(lengths, layout)
        rows = rectangle(data, fill=np.nan)
        shape = (len(chart), features, layout.token_tile)
        tiles = run(make_pack_tokens(layout, features), [rows, chart], shape, isa)
        for found, wanted in zip(to_sequences(tiles, lengths, layout), data, strict=True):
            np.testing.assert_array_equal(found, wanted)
        assert np.isfinite(tiles).all()
        given = [to_tiles(data, layout), chart]
        back = run(make_unpack_tokens(layout, features), given, rows.shape, isa)
        np.testing.assert_array_equal(back, rectangle(data))
        first = run(make_first_tokens(layout, features), given, (len(lengths), features), isa)
        np.testing.assert_array_equal(first, back[:, 0])


@pytest.mark.parametrize("isa", RUNNABLE)
def test_rows_of_tables_are_added_up(isa):
    layout = choose_open_layout(resolve_target(isa))
    rng = np.random.default_rng(1)
    tables = [normal(rng, size, 20) for size in (50, 130)]
    make = make_gather_tokens(layout, 20, ((50, 0, "int32"), (130, 1, "int64")))
    for lengths in BATCHES:
        chart = tile_map(lengths, layout)
        words = rng.integers(-3, 53, (len(lengths), max(lengths))).astype(np.int32)
        places = np.arange(max(lengths), dtype=np.int64)[None]
        operands = [words, tables[0], places, tables[1], chart]
        out = run(make, operands, (len(chart), 20, layout.token_tile), isa)
        wanted = tables[0][np.clip(words, 0, 49)] + tables[1][np.clip(places, 0, 129)]
        for index, found in enumerate(to_sequences(out, lengths, layout)):
            np.testing.assert_allclose(found, wanted[index, : len(found)], rtol=1e-6)


@pytest.mark.parametrize("isa", RUNNABLE)
def test_row_dense(isa):
    target = resolve_target(isa)
    units, depth, epilogue = 6 * target.lanes(), 40, Epilogue(bias=True, activation="tanh")
    panel = row_panel(0, units, target)
    assert panel is not None
    rng = np.random.default_rng(0)
    weight, bias = normal(rng, units, depth), normal(rng, units)
    make = make_row_dense(0, units, depth, panel, target.lanes(), epilogue)
    for rows in (1, 3, 4, 11):
        data = normal(rng, rows, depth)
        given = [data, *DenseFormat(panel).pack([weight], depth), bias]
        out = run(make, given, (rows, units), isa)
        wanted = dense_truth(data, weight, epilogue, bias, None)
        np.testing.assert_allclose(out, wanted, **dense_tolerance(depth, epilogue))


def _kernels(layout: TokenLayout, target) -> dict[str, tuple]:
    """Kernels from tiles of 32 features to as many, and their other operands."""
    rng = np.random.default_rng(7)
    weight = fill_random(normal(rng, 32, 32), (4, 1), 0.5, rng)
    blocks = sparse.bsr_matrix(weight, blocksize=(4, 1))
    blocks.sort_indices()
    shape = ProductShape(32, 32, layout, (4, 1), 0.5)
    form, dense = SparseFormat.choose(shape, target), DenseFormat.choose(shape, target)
    multiply = TiledSparseDense.choose(shape, Epilogue(), form, target)
    heads = AttentionShape(2, 16, 16, (32,) * 3, (0, 0, 0), 0.25, None)
    norm = make_layer_norm(layout, 32, 1e-6, norm_vectors(layout, target))
    return {
        "norm": (norm, 1, [np.ones(32, np.float32)] * 2),
        "sparse": (
            multiply.kernel()[1],
            1,
            form.pack((blocks.data, blocks.indices, blocks.indptr), 32),
        ),
        "dense": (
            make_open_dense(layout, 32, 32, 1, Epilogue()),
            1,
            dense.pack([weight], 32),
        ),
        "attention": (make_attention(layout, heads, *attention_tile(layout, target)), 3, []),
    }


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("block_rows", [4, 16])
def test_a_text_gets_the_same_values_whatever_runs_beside_it(isa, block_rows):
    """To the bit: whether alone, on one thread, or as one of many."""
    target = resolve_target(isa)
    layout = choose_open_layout(target, block_rows)
    lengths = (3, layout.lanes + 1, 3 * layout.lanes, layout.width, layout.width + 2)
    data = sequences_of(lengths, 32)
    for make, operands, others in _kernels(layout, target).values():

        def compute(texts, make=make, operands=operands, others=others):
            chart = tile_map([len(text) for text in texts], layout)
            tiles = [to_tiles(texts, layout)] * operands
            out = run(make, [*tiles, *others, chart], (len(chart), 32, layout.token_tile), isa)
            return to_sequences(out, [len(text) for text in texts], layout)

        for text, together in zip(data, compute(data), strict=True):
            np.testing.assert_array_equal(compute([text])[0], together)


def test_a_kernel_of_a_static_layout_knows_all_extents():
    """It takes no tile map and chooses among no variants."""
    static = TokenLayout(1, 128, 64, 16)
    text = make_packed_dense(static, 48, 64, 6, Epilogue()).script()
    assert "tile_map" not in text
    assert "T.int64()" not in text
    assert "else" not in text
