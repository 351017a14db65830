"""Dense weights in panels."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.formats.panels import DenseFormat

pytestmark = pytest.mark.unit


def test_panels_hold_the_rows_side_by_side():
    weight = np.arange(15, dtype=np.float32).reshape(5, 3)
    form = DenseFormat(2)
    (packed,) = form.pack([weight], 3)
    assert packed.shape == (3, 3, 2)
    np.testing.assert_array_equal(packed[0], weight[:2].T)
    np.testing.assert_array_equal(packed[2][:, 0], weight[4])
    np.testing.assert_array_equal(packed[2][:, 1], 0)
    np.testing.assert_array_equal(weight.ravel(), np.arange(15))
    assert form.size_bytes(weight.shape) == packed.nbytes


def test_matrices_are_stacked_output_behind_output():
    first, second = np.zeros((2, 3), np.float32), np.ones((1, 3), np.float32)
    (whole,) = DenseFormat.stack([[first], [second]])
    np.testing.assert_array_equal(whole, [[0] * 3, [0] * 3, [1] * 3])
    assert DenseFormat.stack([[first]])[0] is first
