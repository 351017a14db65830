"""Masks have exactly the count asked for, and keep the highest scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.block_scores import keep_highest, keep_highest_per_row

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
