"""Masks have exactly the count asked for, and keep the highest scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_sparse.errors import ConfigError, SparsityError
from tvm_sparse.sparsity.block_scores import keep_highest, keep_highest_per_row, keep_n_of_m
from tvm_sparse.sparsity.bsr import block_mask
from tvm_sparse.sparsity.hessian import damped
from tvm_sparse.sparsity.prune_layer import InputMoments, prune_layer
from tvm_sparse.sparsity.prune_spec import METHODS, PruneSpec, parse_n_m
from tvm_sparse.sparsity.second_order import prune_second_order

pytestmark = pytest.mark.unit

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def scores_of(shape, levels, seed):
    # Few levels, so that there are many ties.
    return np.random.default_rng(seed).integers(0, levels, shape).astype(np.float64)


@given(SIZES, st.floats(0, 1), st.integers(1, 5), st.integers(0, 99))
def test_the_lowest_of_the_layer_go(shape, share, levels, seed):
    scores = scores_of(shape, levels, seed)
    zeros = round(share * scores.size)
    mask = keep_highest(scores, zeros)
    assert mask.shape == shape
    assert (~mask).sum() == zeros
    if 0 < zeros < scores.size:
        assert scores[~mask].max() <= scores[mask].min()


@given(SIZES, st.floats(0, 1), st.integers(1, 5), st.integers(0, 99))
def test_every_row_loses_as_many(shape, share, levels, seed):
    scores = scores_of(shape, levels, seed)
    zeros = round(share * scores.size)
    mask = keep_highest_per_row(scores, zeros)
    counts = (~mask).sum(axis=1)
    assert counts.sum() == zeros
    assert counts.max() - counts.min() <= 1
    for row, kept in zip(scores, mask, strict=True):
        if kept.any() and not kept.all():
            assert row[~kept].max() <= row[kept].min()


@pytest.mark.parametrize("keep", [keep_highest, keep_highest_per_row])
def test_refusals(keep):
    with pytest.raises(SparsityError, match="7 zero blocks asked for: the weight has 6"):
        keep(np.ones((2, 3)), 7)
    with pytest.raises(SparsityError, match="not a number"):
        keep(np.array([[1.0, np.nan]]), 1)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 8), st.data())
def test_every_group_keeps_its_highest(rows, groups, m, data):
    n = data.draw(st.integers(1, m))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    scores = rng.integers(0, 3, (rows, groups * m)).astype(np.float64)
    mask = keep_n_of_m(scores, n, m).reshape(rows, groups, m)
    assert (mask.sum(axis=2) == n).all()
    for row, kept in zip(scores.reshape(-1, m), mask.reshape(-1, m), strict=True):
        if n < m:
            assert row[~kept].max() <= row[kept].min()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("block_shape", [(1, 1), (4, 1), (2, 2)])
def test_every_method_keeps_the_pattern(method, block_shape):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((8, 16)).astype(np.float32)
    inputs = rng.standard_normal((64, 16))
    hessian = inputs.T @ inputs
    moments = InputMoments(np.diag(hessian), hessian, len(inputs))
    spec = PruneSpec(method=method, n_m=(2, 4), block_shape=block_shape)
    pruned = prune_layer(weight, spec, None, moments)
    mask = block_mask(pruned, block_shape)
    assert (mask.reshape(len(mask), -1, 4).sum(axis=2) == 2).all()


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_more_rounds_keep_the_pattern(rounds):
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((4, 16))
    inputs = rng.standard_normal((64, 16))
    pruned = prune_second_order(
        weight, damped(inputs.T @ inputs, 0.01), (1, 1), n_m=(1, 4), rounds=rounds
    )
    assert ((pruned != 0).reshape(4, 4, 4).sum(axis=2) == 1).all()


def test_parsing():
    assert parse_n_m("2:4") == (2, 4)
    assert parse_n_m(" 1 : 1 ") == (1, 1)
    for text, said in [
        ("2", "two numbers such as 2:4"),
        ("2:", "two numbers"),
        ("-1:4", "two numbers"),
        ("5:4", "1 <= N <= M"),
        ("0:4", "1 <= N <= M"),
        ("0:0", "1 <= N <= M"),
    ]:
        with pytest.raises(ConfigError, match=said):
            parse_n_m(text)


def test_n_of_m_refusals():
    with pytest.raises(SparsityError, match="M must divide"):
        keep_n_of_m(np.ones((2, 6)), 2, 4)
    with pytest.raises(SparsityError, match="between 1 and M"):
        keep_n_of_m(np.ones((2, 8)), 5, 4)
    with pytest.raises(SparsityError, match="not a number"):
        keep_n_of_m(np.array([[np.inf, 1.0]]), 1, 2)
