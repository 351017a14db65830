from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_artifact import tiny_inputs

from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.compare import difference, first_difference

pytestmark = pytest.mark.unit


def test_the_first_differing_layer_is_named(dense_dir: Path, other_dir: Path) -> None:
    found = first_difference(load(dense_dir), load(other_dir), tiny_inputs(), 1e-4, 1e-4)
    assert found is not None
    assert found.layer == "layer_0/dense"
    assert "layer_0/dense (fused_matmul_add against fused_matmul_add)" in str(found)


def test_equal_builds_and_wide_tolerances(dense_dir: Path, other_dir: Path) -> None:
    dense, other = load(dense_dir), load(other_dir)
    assert first_difference(dense, load(dense_dir), tiny_inputs(), 0, 0) is None
    assert first_difference(dense, other, tiny_inputs(), 10, 0) is None


def test_difference_of_arrays() -> None:
    reference = np.array([1.0, -2.0, 4.0, 0.0], np.float32)
    same = difference(reference, reference, 0, 0)
    assert (same.max_absolute, same.max_relative, same.mismatched) == (0, 0, 0)
    gap = difference(reference + np.float32([0, 0.5, 0, 0]), reference, 0.1, 0.0)
    assert (gap.max_absolute, gap.max_relative, gap.mismatched) == (0.5, 0.125, 0.25)
    assert difference(reference * 1.01, reference, 0, 0.02).mismatched == 0
    # What is allowed grows with the largest value, 4 here, and does not shrink below 1.
    assert difference(reference + np.float32(0.3), reference, 0.1, 0.0).mismatched == 0
    assert difference(reference / 8 + np.float32(0.2), reference / 8, 0.1, 0.0).mismatched == 1


def test_what_is_not_finite_differs_unless_it_is_the_same_infinity() -> None:
    reference = np.array([np.inf, -np.inf, 1.0])
    same = difference(reference, reference, 0, 0)
    assert (same.max_absolute, same.mismatched) == (0, 0)
    gap = difference(np.array([np.inf, np.inf, np.nan]), reference, 1, 1)
    assert gap.max_absolute == np.inf
    assert gap.mismatched == pytest.approx(2 / 3)
    assert difference(np.array([np.nan]), np.array([np.nan]), 1, 1).mismatched == 1
    assert difference(np.zeros((0,)), np.zeros((0,)), 0, 0).mismatched == 0
