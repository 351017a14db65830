"""Layer normalisation on token tiles against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_runner import RUNNABLE, normal, run, to_rows, to_tiles, widest
from tolerances import ELEMENTWISE, dot

from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.kernels.layer_norm import make_layer_norm
from tvm_sparse.kernels.tiling import norm_vectors
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric


def check(isa, seq_len, batch, features, residual, epsilon=1e-12, shift=0.0, vectors=None):
    rng = np.random.default_rng(features)
    layout = choose_layout(batch, seq_len, resolve_target(isa))
    vectors = vectors or norm_vectors(layout, resolve_target(isa))
    data = normal(rng, batch, seq_len, features) * 3 + np.float32(shift)
    added = normal(rng, batch, seq_len, features) if residual else None
    gamma, beta = normal(rng, features), normal(rng, features)
    out = run(
        make_layer_norm(layout, features, epsilon, vectors, residual),
        [to_tiles(data, layout), gamma, beta, to_tiles(added, layout) if residual else None],
        layout.shape(features),
        isa,
    )
    x = data.astype(np.float64) + (added if residual else 0)
    centred = x - x.mean(axis=-1, keepdims=True)
    wanted = centred / np.sqrt(x.var(axis=-1, keepdims=True) + epsilon) * gamma + beta
    # The mean carries the rounding of values as large as the shift.
    tolerance = dot(features, scale=(1 + abs(shift)) / features**0.5 * 4)
    np.testing.assert_allclose(
        to_rows(out, layout),
        wanted,
        rtol=tolerance["rtol"] + ELEMENTWISE["rtol"],
        atol=tolerance["atol"] + ELEMENTWISE["atol"],
    )


CASES = [
    (128, 1, 768, False),
    (127, 3, 20, True),
    (70, 2, 24, True),
    (16, 3, 32, True),
    (3, 1, 7, False),
    (1, 3, 129, True),
]


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize(("seq_len", "batch", "features", "residual"), CASES)
def test_shapes(isa, seq_len, batch, features, residual):
    check(isa, seq_len, batch, features, residual)


@pytest.mark.parametrize("residual", [False, True])
def test_every_share_of_a_tile(residual):
    layout = choose_layout(1, 128, widest())
    for vectors in range(1, layout.vectors + 1):
        if layout.vectors % vectors == 0:
            check(widest().isa, 128, 1, 37, residual, vectors=vectors)


def test_a_mean_far_from_zero_and_a_large_epsilon():
    """The variance is taken around the mean: E[x²] - E[x]² would lose every digit here."""
    check(widest().isa, 9, 1, 64, residual=False, shift=1000.0)
    check(widest().isa, 9, 1, 64, residual=True, epsilon=0.5)


def test_equal_features_give_beta():
    layout = choose_layout(1, 5, widest())
    beta = np.arange(12, dtype=np.float32)
    out = run(
        make_layer_norm(layout, 12, 1e-5, layout.vectors),
        [to_tiles(np.full((1, 5, 12), 2.5, np.float32), layout), np.ones(12, np.float32), beta],
        layout.shape(12),
        widest().isa,
    )
    np.testing.assert_array_equal(to_rows(out, layout), np.broadcast_to(beta, (1, 5, 12)))
