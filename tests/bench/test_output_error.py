from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.bench.output_error import output_errors

pytestmark = pytest.mark.unit


def test_errors_are_those_of_norms_and_directions() -> None:
    wanted = np.array([[3.0, 4.0], [0.0, 2.0]], np.float32)
    found = np.array([[3.0, 4.0], [2.0, 0.0]], np.float32)
    error = output_errors({"y": found}, {"y": wanted}, {})["y"]
    assert error.relative_l2 == pytest.approx(np.sqrt(8 / 29))
    assert error.cosine == pytest.approx(0.5)  # the first row is right, the second orthogonal


def test_padding_does_not_count() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.standard_normal((2, 3, 4)).astype(np.float32)
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    found = np.where(mask[..., None] > 0, wanted, 7.0).astype(np.float32)
    assert (
        output_errors({"y": found}, {"y": wanted}, {"attention_mask": mask})["y"]
        == (output_errors({"y": wanted}, {"y": wanted}, {})["y"])
    )
    assert output_errors({"y": found}, {"y": wanted}, {})["y"].relative_l2 > 0.1


def test_outputs_of_zeros_and_of_integers() -> None:
    zeros, ones = np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32)
    same = output_errors({"y": zeros}, {"y": zeros}, {})["y"]
    assert (same.relative_l2, same.cosine) == (0.0, 1.0)
    other = output_errors({"y": ones}, {"y": zeros}, {})["y"]
    assert (other.relative_l2, other.cosine) == (1.0, 0.0)
    assert output_errors({"n": np.arange(2)}, {"n": np.arange(2)}, {}) == {}
