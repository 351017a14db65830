"""The block-sparse kernel against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_runner import (
    RUNNABLE,
    dense_tolerance,
    dense_truth,
    normal,
    run,
    to_rows,
    to_tiles,
    widest,
)

from tvm_sparse.formats.bsr import Field, SparseFormat
from tvm_sparse.formats.token_layout import TokenLayout, choose_layout, split_rows
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.activations import ACTIVATIONS
from tvm_sparse.kernels.bsr_sparse_dense import make_bsr_sparse_dense
from tvm_sparse.sparsity.bsr import to_bsr
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric

SPARSITIES = (0.0, 0.5, 0.8, 0.95, 1.0)
PLAIN = Epilogue()


def block_sparse(rng, blocks: tuple[int, int], block_shape: tuple[int, int], sparsity: float):
    """A weight of which exactly the given share of blocks is zero."""
    bs_r, bs_c = block_shape
    total = blocks[0] * blocks[1]
    keep = np.zeros(total, bool)
    keep[rng.permutation(total)[: round(total * (1 - sparsity))]] = True
    values = normal(rng, blocks[0], bs_r, blocks[1], bs_c)
    values *= keep.reshape(blocks[0], 1, blocks[1], 1)
    return values.reshape(blocks[0] * bs_r, blocks[1] * bs_c)


def check(
    isa: str,
    layout: TokenLayout,
    weights: list[np.ndarray],
    block_shape: tuple[int, int],
    epilogue: Epilogue = PLAIN,
    rows: int | None = None,
    form: SparseFormat | None = None,
    seed: int = 0,
) -> None:
    """Run one kernel on several weights of its shape: the number of blocks is symbolic."""
    rng = np.random.default_rng(seed)
    units, depth = weights[0].shape
    most = split_rows(layout, resolve_target(isa)) if rows is None else rows
    if form is None:
        shape = ProductShape(units, depth, layout, block_shape, 0.5)
        form = SparseFormat.choose(shape, resolve_target(isa))
    func = make_bsr_sparse_dense(layout, units, depth, block_shape, most, epilogue, form)
    data = normal(rng, layout.batch, layout.seq_len, depth)
    bias = normal(rng, units) if epilogue.bias else None
    residual = normal(rng, layout.batch, layout.seq_len, units) if epilogue.residual else None
    for weight in weights:
        bsr = to_bsr(weight, block_shape)
        packed = form.pack([bsr.data, bsr.indices, bsr.indptr], depth)
        out = run(
            func,
            [
                to_tiles(data, layout),
                *packed,
                bias,
                to_tiles(residual, layout) if residual is not None else None,
            ],
            layout.shape(units),
            isa,
        )
        np.testing.assert_allclose(
            to_rows(out, layout),
            dense_truth(data, weight, epilogue, bias, residual),
            **dense_tolerance(depth, epilogue),
        )


# Tokens, batch, block shape, blocks down and across, epilogue: each value of each at least once.
CASES = [
    (128, 1, (1, 1), (40, 56), Epilogue(bias=True)),
    (127, 1, (4, 1), (13, 64), Epilogue(bias=True, activation="gelu")),
    (16, 3, (16, 1), (5, 33), Epilogue(bias=True, residual=True)),
    (70, 2, (4, 1), (13, 64), Epilogue(bias=True, residual=True, activation="gelu")),
    (197, 1, (4, 1), (13, 64), Epilogue(bias=True)),
    (3, 1, (32, 1), (3, 24), Epilogue(residual=True)),
    (1, 3, (4, 4), (9, 7), Epilogue(bias=True, residual=True, activation="relu")),
    (127, 3, (3, 5), (7, 9), Epilogue(activation="tanh", residual=True)),
    (128, 1, (31, 1), (2, 40), Epilogue()),
]


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize(
    ("seq_len", "batch", "block_shape", "blocks", "epilogue"),
    CASES,
    ids=[f"{c[0]}x{c[1]}-{c[2][0]}x{c[2][1]}{'_'.join(c[4].words)}" for c in CASES],
)
def test_every_sparsity(isa, seq_len, batch, block_shape, blocks, epilogue):
    rng = np.random.default_rng(1)
    weights = [block_sparse(rng, blocks, block_shape, share) for share in SPARSITIES]
    layout = choose_layout(batch, seq_len, resolve_target(isa), block_shape[0])
    check(isa, layout, weights, block_shape, epilogue)


def test_square_blocks_of_16():
    rng = np.random.default_rng(2)
    weights = [block_sparse(rng, (3, 4), (16, 16), share) for share in SPARSITIES]
    layout = choose_layout(1, 20, widest(), 16)
    check(widest().isa, layout, weights, (16, 16), Epilogue(bias=True))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation(activation):
    rng = np.random.default_rng(3)
    weights = [block_sparse(rng, (6, 20), (2, 1), share) for share in (0.0, 0.8)]
    layout = choose_layout(1, 19, widest(), 2)
    epilogue = Epilogue(bias=True, residual=activation != "none", activation=activation)
    check(widest().isa, layout, weights, (2, 1), epilogue)


def test_empty_block_rows():
    rng = np.random.default_rng(4)
    weight = block_sparse(rng, (9, 12), (4, 1), 0.5)
    for block_row in (0, 4, 5, 8):
        weight[block_row * 4 : block_row * 4 + 4] = 0
    layout = choose_layout(2, 21, widest(), 4)
    check(widest().isa, layout, [weight], (4, 1), Epilogue(bias=True, residual=True))


def test_many_and_few_block_rows():
    """Chunks for the threads: more block rows than chunks, a last chunk that is not full."""
    rng = np.random.default_rng(5)
    layout = choose_layout(1, 5, widest(), 1)
    for block_rows in (1, 67):
        check(widest().isa, layout, [block_sparse(rng, (block_rows, 9), (1, 1), 0.6)], (1, 1))


#: Lanes of a group and rows of a block; code is written out for each row of a group.
GROUPS = ((1, 1), (1, 12), (2, 4), (3, 5), (4, 1), (4, 4), (8, 1), (8, 3), (12, 1), (12, 2))


@settings(max_examples=8)
@given(
    seq_len=st.integers(1, 70),
    batch=st.integers(1, 3),
    group=st.sampled_from(GROUPS),
    bs_c=st.integers(1, 4),
    groups=st.integers(1, 4),
    block_cols=st.integers(1, 8),
    sparsity=st.floats(0, 1),
    vectors=st.integers(1, 4),
    rows=st.integers(1, 7),
    panels=st.integers(1, 5),
    chunks=st.integers(1, 4),
    lookahead=st.integers(0, 20),
    lane_major=st.booleans(),
    bias=st.booleans(),
    residual=st.booleans(),
)
def test_any_shape(
    seq_len, batch, group, bs_c, groups, block_cols, sparsity, vectors, rows, panels, chunks,
    lookahead, lane_major, bias, residual,
):  # fmt: skip
    """Correct for every register tile and format, whatever the tuning picks."""
    width = widest().lanes()
    lanes, bs_r = group
    layout = TokenLayout(batch, seq_len, vectors * width, width)
    form = SparseFormat(
        *(layout.token_tile, lanes, panels, chunks, lookahead), lane_major=lane_major
    )
    blocks = (groups * lanes, block_cols)
    weight = block_sparse(np.random.default_rng(6), blocks, (bs_r, bs_c), sparsity)
    check(widest().isa, layout, [weight], (bs_r, bs_c), Epilogue(bias, residual), rows, form)


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_the_panels_of_a_wide_weight(isa, lanes):
    """Many panels and chunks, rows of every length, offsets in words of their own and shared."""
    rng = np.random.default_rng(7)
    layout = choose_layout(1, 40, resolve_target(isa), 1)
    weights = [block_sparse(rng, (200, 256), (1, 1), share) for share in SPARSITIES]
    form = SparseFormat(layout.token_tile, lanes, panels=7, chunks=3)
    check(isa, layout, weights, (1, 1), Epilogue(True, True, "gelu"), form=form)


def test_columns_too_many_for_eight_bits():
    rng = np.random.default_rng(8)
    layout = TokenLayout(1, 16, 64, widest().lanes())
    weight = block_sparse(rng, (8, 1100), (1, 1), 0.9)
    form = SparseFormat(layout.token_tile, lanes=4)
    assert form.field(1100, 1) == Field(16, 64)
    check(widest().isa, layout, [weight], (1, 1), form=form)


@pytest.mark.parametrize("panels", [2, 3, 4, 5])
def test_every_number_of_panels(panels):
    """The first, the last and those between are different code."""
    rng = np.random.default_rng(9)
    layout = choose_layout(2, 20, widest(), 1)
    weight = block_sparse(rng, (24, 37), (1, 1), 0.7)
    form = SparseFormat(layout.token_tile, lanes=12, panels=panels)
    check(widest().isa, layout, [weight], (1, 1), Epilogue(bias=True), form=form)
