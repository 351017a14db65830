from __future__ import annotations

import pytest

from tvm_sparse.report.charts.elements import density, sparsity_axis

pytestmark = pytest.mark.unit


def test_sparsities_are_spread_by_what_is_left(rows) -> None:
    axis = sparsity_axis(rows)
    assert axis["scale"] | {"type": "log", "reverse": True} == axis["scale"]
    assert axis["axis"]["values"] == [1, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.025, 0.01]
    assert density(1.0) == 0.001, "a logarithm needs an end"
