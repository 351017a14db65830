from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.formats.quantized import EXACT
from tvm_sparse.quantization.smoothing import smoothing_factors
from tvm_sparse.quantization.tokens import STEPS, rounded_tokens
from tvm_sparse.quantization.weights import rounded_weight

pytestmark = pytest.mark.unit


def test_ranges_are_shared_between_inputs_and_weights() -> None:
    weight = np.array([[1.0, 4.0, 0.5], [2.0, -1.0, 0.5]])
    peaks = np.array([8.0, 1.0, 2.0])
    factors = smoothing_factors(peaks, [weight], 0.5)
    # At 0.5 a feature and the weights that meet it have one range.
    np.testing.assert_allclose(peaks * factors, np.abs(weight / factors).max(axis=0))


def test_weights_of_one_input_are_smoothed_together() -> None:
    first, second = np.array([[1.0, 1.0]]), np.array([[3.0, 0.5]])
    together = smoothing_factors(np.ones(2), [first, second])
    np.testing.assert_allclose(together, smoothing_factors(np.ones(2), [[[3.0, 1.0]]]))


def test_features_that_never_were_do_not_blow_up() -> None:
    factors = smoothing_factors(np.array([1.0, 0.0]), [np.ones((2, 2))])
    assert np.isfinite(factors).all()
    assert factors.max() <= 100 * factors.min()
    assert np.isfinite(smoothing_factors(np.zeros(2), [np.zeros((2, 2))])).all()


def test_tokens_are_rounded_to_steps_of_their_own() -> None:
    tokens = np.random.default_rng(0).normal(1, 3, (5, 64)).astype(np.float32)
    steps = (np.maximum(tokens.max(1), 0) - np.minimum(tokens.min(1), 0)) / STEPS
    rounded = rounded_tokens(tokens)
    assert (np.abs(rounded - tokens) <= 0.501 * steps[:, None]).all()
    assert len(np.unique(rounded[0])) < 64 or np.isclose(rounded[0] / steps[0] % 1, 0).any()
    assert (rounded_tokens(np.zeros((1, 4), np.float32)) == 0).all()


def test_smoothing_makes_up_for_an_outlier() -> None:
    rng = np.random.default_rng(1)
    tokens = rng.standard_normal((64, 128)).astype(np.float32)
    tokens[:, 7] *= 60
    weight = rng.standard_normal((96, 128)).astype(np.float32)

    def error(factors) -> float:
        found = rounded_tokens(tokens * factors) @ rounded_weight(weight / factors, EXACT).T
        wanted = tokens @ weight.T
        return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))

    factors = smoothing_factors(np.abs(tokens).max(axis=0), [weight])
    assert error(factors) < 0.7 * error(np.ones(128, np.float32))


def test_any_depth_is_rounded() -> None:
    weight = np.random.default_rng(2).standard_normal((3, 7)).astype(np.float32)
    np.testing.assert_allclose(rounded_weight(weight, EXACT), weight, atol=0.05)
