"""Tokens as words: each value is off by at most half of a step of its token."""

from __future__ import annotations

import numpy as np
import pytest
from int8_kernels import run_int8
from kernel_runner import RUNNABLE, normal, to_tiles

from tvm_sparse.formats.token_layout import TokenLayout, choose_layout
from tvm_sparse.kernels.quantize_tokens import STEPS, make_quantize_tokens
from tvm_sparse.kernels.tiling import norm_vectors
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric


def quantize(isa: str, layout: TokenLayout, data: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return values, zero points and scales: (batch, seq_len, K), (batch, seq_len) twice."""
    target, depth = resolve_target(isa), data.shape[-1]
    out = run_int8(
        make_quantize_tokens(layout, depth, norm_vectors(layout, target)),
        [to_tiles(data, layout)],
        layout.shape(depth // 4 + 2),
        target,
        "int32",
    )

    def rows(part: np.ndarray) -> np.ndarray:
        tokens = part.transpose(0, 2, 1).reshape(layout.batch, -1, part.shape[1])
        return np.ascontiguousarray(tokens[:, : layout.seq_len])

    values = rows(out[:, :-2]).view(np.uint8)
    return values, -rows(out[:, -2:-1])[..., 0], rows(out[:, -1:]).view(np.float32)[..., 0]


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize(("batch", "seq_len", "depth"), [(1, 128, 64), (2, 21, 12), (3, 1, 4)])
def test_values_are_off_by_half_a_step(isa, batch, seq_len, depth):
    rng = np.random.default_rng(seq_len)
    layout = choose_layout(batch, seq_len, resolve_target(isa))
    data = normal(rng, batch, seq_len, depth) * 10 ** rng.uniform(-6, 6, (batch, seq_len, 1))
    data[:, ::3] = np.abs(data[:, ::3])
    data[:, 1::3] = -np.abs(data[:, 1::3])
    data = data.astype(np.float32)
    values, zeros, scales = quantize(isa, layout, data)
    extent = np.maximum(data.max(axis=-1), 0) - np.minimum(data.min(axis=-1), 0)
    np.testing.assert_allclose(scales, extent / STEPS, rtol=1e-6)
    back = (values.astype(np.float64) - zeros[..., None]) * scales[..., None]
    assert (np.abs(back - data) <= 0.501 * scales[..., None]).all()


@pytest.mark.parametrize("isa", RUNNABLE)
def test_the_ends_stay_in_range(isa):
    """Steps below zero that are just under or over a half: the ends round to 0 and 255 at most."""
    depth, seq_len = 8, 512
    layout = choose_layout(1, seq_len, resolve_target(isa))
    data = np.zeros((1, seq_len, depth), np.float32)
    below = np.linspace(0, STEPS, seq_len)
    data[0, :, 0], data[0, :, 5] = -below, STEPS - below
    data *= np.float32(0.0371)
    values, zeros, scales = quantize(isa, layout, data)
    assert zeros.min() >= 1
    assert zeros.max() <= 255
    back = (values.astype(np.float64) - zeros[..., None]) * scales[..., None]
    assert (np.abs(back - data) <= 0.501 * scales[..., None]).all()


@pytest.mark.parametrize("isa", RUNNABLE)
def test_tokens_of_zeros_and_of_next_to_nothing_stay_so(isa):
    layout = choose_layout(1, 2, resolve_target(isa))
    data = np.zeros((1, 2, 16), np.float32)
    data[0, 1] = 1e-30
    values, zeros, scales = quantize(isa, layout, data)
    assert (values == zeros[..., None]).all()
    assert np.isfinite(scales).all()


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_not_lost(isa, value):
    layout = choose_layout(1, 3, resolve_target(isa))
    data = normal(np.random.default_rng(0), 1, 3, 24)
    data[0, 1, 9] = value
    scales = quantize(isa, layout, data)[2]
    assert np.isfinite(scales).tolist() == [[True, False, True]]
