from __future__ import annotations

import pytest

from tvm_sparse.report.charts.elements import density, sparsity_axis
from tvm_sparse.report.study_rows import blocks_of

pytestmark = pytest.mark.unit


def test_sparsities_are_spread_by_what_is_left(rows) -> None:
    axis = sparsity_axis(rows)
    assert axis["scale"] | {"type": "log", "reverse": True} == axis["scale"]
    assert axis["axis"]["values"] == [1, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.025, 0.01]
    assert density(1.0) == 0.001, "a logarithm needs an end"


def test_blocks_are_in_order_of_size(rows) -> None:
    assert blocks_of(rows) == ["1x1", "4x1", "16x1", "32x1"]
