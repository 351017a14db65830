"""Element and block sparsity are two things."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.stats import (
    block_sparsities,
    block_sparsity,
    come_pruned,
    element_sparsity,
)

pytestmark = pytest.mark.unit


@pytest.fixture
def weight() -> np.ndarray:
    """8x8 with one non-zero in every second row: 4 of 64 elements."""
    weight = np.zeros((8, 8), np.float32)
    weight[::2, 0] = 1
    return weight


def test_elements(weight):
    assert element_sparsity(weight) == 60 / 64
    assert element_sparsity(np.ones((3, 3))) == 0.0
    assert element_sparsity(np.zeros((3, 3))) == 1.0
    assert element_sparsity(np.zeros((0, 3))) == 0.0


@pytest.mark.parametrize(
    ("block_shape", "expected"),
    [((1, 1), 60 / 64), ((2, 1), 28 / 32), ((1, 8), 4 / 8), ((8, 1), 7 / 8), ((8, 8), 0.0)],
)
def test_blocks(weight, block_shape, expected):
    assert block_sparsity(weight, block_shape) == expected
    assert block_sparsity(np.ascontiguousarray(weight.T).T, block_shape) == expected


def test_many_shapes_at_once(weight):
    assert block_sparsities(weight, [(1, 1), (4, 1), (3, 1)]) == {
        (1, 1): 60 / 64, (4, 1): 14 / 16, (3, 1): None,
    }  # fmt: skip


def test_indivisible_is_refused(weight):
    with pytest.raises(SparsityError, match="block 3x1 given for a weight of shape 8x8"):
        block_sparsity(weight, (3, 1))


@pytest.mark.parametrize(("zeros", "pruned"), [(0, False), (9, False), (11, True), (100, True)])
def test_one_layer_with_a_notable_share_of_zeros_says_that_weights_come_pruned(zeros, pruned):
    weights = [np.ones((10, 10)), np.ones((10, 10))]
    weights[1].flat[:zeros] = 0
    assert come_pruned(weights) is pruned
