"""Block-sparse products of words: exactly what integers are, for every grade."""

from __future__ import annotations

import numpy as np
import pytest
from int8_kernels import INT8_TARGETS, activations, limit_weight, run_int8, to_words, truth
from kernel_runner import normal, to_rows

from tvm_sparse.formats.int8_bsr import (
    FastInt8SparseFormat,
    Int8SparseFormat,
    WideInt8SparseFormat,
)
from tvm_sparse.formats.quantized import WORD, grade_of
from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.bsr_sparse_dense import make_bsr_sparse_dense
from tvm_sparse.ops.tiled_sparse_dense_int8 import TiledSparseDenseInt8
from tvm_sparse.sparsity.bsr import to_bsr
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric


def with_blocks(weight: np.ndarray, block_shape: tuple[int, int], density: float) -> np.ndarray:
    """The weight with about so many of its blocks, none of them in its second row of blocks."""
    bs_r, bs_c = block_shape
    grid = (weight.shape[0] // bs_r, weight.shape[1] // bs_c)
    keep = np.random.default_rng(grid).random(grid) < density
    keep[1:2] = False
    return weight * np.kron(keep, np.ones(block_shape, np.float32))


def check(
    name: str,
    weights: list[np.ndarray],
    block_shape,
    tokens,
    kind,
    form=None,
    formats=Int8SparseFormat,
) -> None:
    """Run one kernel on several weights: the number of blocks is symbolic."""
    target = resolve_target(name)
    layout = choose_layout(*tokens, target, block_shape[0])
    units, depth = weights[0].shape
    shape = ProductShape(units, depth, layout, block_shape, 0.3)
    form = form(layout, target) if form else formats.choose(shape, target)
    operator = TiledSparseDenseInt8.choose(shape, Epilogue(), form, target)
    func = make_bsr_sparse_dense(
        layout, units, depth, block_shape, operator.rows, Epilogue(), form, operator.work
    )
    values, shifts = activations(np.random.default_rng(depth), kind, *tokens, depth)
    for weight in weights:
        bsr = to_bsr(weight, block_shape)
        packed = form.pack([bsr.data, bsr.indices, bsr.indptr], depth)
        scales = packed[-2]
        out = run_int8(
            func, [to_words(values, shifts, layout), *packed], layout.shape(units), target
        )
        rounded = np.rint(weight / scales[:, None]).clip(-128, 127)
        assert kind == "random" or (np.abs(rounded).max(axis=1) != 1).all()
        np.testing.assert_array_equal(to_rows(out, layout), truth(values, shifts, rounded, scales))


#: Batch and tokens, block, blocks down and across.
CASES = [
    ((1, 128), (1, 4), (40, 56)),
    ((2, 21), (4, 4), (13, 48)),
    ((1, 3), (16, 4), (5, 33)),
    ((3, 16), (3, 12), (7, 5)),
    # Columns anywhere, four of which make a word.
    ((1, 128), (4, 1), (13, 192)),
    ((2, 21), (2, 1), (20, 56)),
    ((1, 3), (16, 2), (3, 30)),
]


@pytest.mark.parametrize("name", INT8_TARGETS)
@pytest.mark.parametrize(("tokens", "block_shape", "grid"), CASES, ids=str)
def test_it_is_integer_arithmetic(name, tokens, block_shape, grid):
    shape = (grid[0] * block_shape[0], grid[1] * block_shape[1])
    weight = normal(np.random.default_rng(0), *shape)
    weights = [with_blocks(weight, block_shape, density) for density in (0.0, 0.2, 1.0)]
    check(name, weights, block_shape, tokens, "random")


@pytest.mark.parametrize("inputs", ["extreme", "zeros", "most"])
@pytest.mark.parametrize(
    ("formats", "block_shape"),
    [
        *((Int8SparseFormat, shape) for shape in [(1, 4), (4, 4), (4, 1)]),
        *((FastInt8SparseFormat, shape) for shape in [(1, 4), (4, 8)]),
        *((WideInt8SparseFormat, shape) for shape in [(1, 4), (4, 1)]),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", INT8_TARGETS)
def test_nothing_saturates_at_the_limit(name, formats, block_shape, inputs):
    whole = limit_weight(32, 256)
    weight = with_blocks(whole, block_shape, 0.5)
    # Without their last values rows would be integers, which nothing rounds.
    ends = np.flatnonzero(weight.any(axis=1)), np.s_[-block_shape[1] :]
    weight[ends] = whole[ends]
    check(name, [weight], block_shape, (1, 19), inputs, formats=formats)


@pytest.mark.parametrize("block_shape", [(1, 4), (4, 8), (4, 1)], ids=str)
@pytest.mark.parametrize("name", INT8_TARGETS)
def test_sums_wait_between_panels_and_chunks(name, block_shape):
    def form(layout, target):
        lanes = 4 if block_shape[0] == 1 else 1
        grade, quads = grade_of(target).name, block_shape[1] < WORD
        return Int8SparseFormat(layout.token_tile, lanes, 3, 2, 4, grade, quads)

    weight = with_blocks(normal(np.random.default_rng(2), 48, 160), block_shape, 0.4)
    check(name, [weight], block_shape, (1, 40), "extreme", form)
