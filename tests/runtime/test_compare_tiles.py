"""Results of one layer in two layouts: token tiles of any size come to the same tokens."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_runner import to_tiles

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.runtime.compare import _common_tokens

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("sequences", "tokens"),
    [(3, 70), (1, 3 * 70), (1, 3)],
    ids=["sequences", "all tokens in a row", "one pooled token a sequence"],
)
@pytest.mark.parametrize("tiles", [(64, 32), (48, 32), (16, 64)])
def test_tiles_of_other_sizes(sequences, tokens, tiles):
    rows = np.random.default_rng(0).standard_normal((sequences, tokens, 5), dtype=np.float32)
    left, right = (to_tiles(rows, TokenLayout(sequences, tokens, tile, 16)) for tile in tiles)
    if left.shape == right.shape:
        assert _common_tokens(left, right, 3, 70) == (left, right)
        return
    for result in _common_tokens(left, right, 3, 70):
        np.testing.assert_array_equal(result.reshape(rows.shape), rows)


def test_an_image_model_whose_signature_tells_no_tokens():
    rows = np.random.default_rng(0).standard_normal((2, 37, 5), dtype=np.float32)
    left, right = (to_tiles(rows, TokenLayout(2, 37, tile, 16)) for tile in (48, 32))
    for result in _common_tokens(left, right, 2, None):
        np.testing.assert_array_equal(result[:, :37], rows)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 5, 32), (2, 6, 16)),  # other features
        ((6, 5, 32), (7, 5, 32)),  # tiles that hold neither
        ((2, 5), (2, 5, 16)),
    ],
)
def test_what_has_nothing_in_common_is_passed_over(left, right):
    assert _common_tokens(np.zeros(left), np.zeros(right), 3, 70) is None
