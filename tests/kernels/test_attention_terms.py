"""Attention with a bias, windows, shared keys and distances, against it in float64."""

from __future__ import annotations

import numpy as np
import pytest
from attention_truth import LOWEST, band, by_distance, by_keys, padding, truth
from kernel_runner import RUNNABLE, normal, run, to_rows, to_tiles, widest
from tolerances import ELEMENTWISE, dot

from tvm_sparse.formats.token_layout import TokenLayout, choose_layout
from tvm_sparse.kernels.attention import make_attention
from tvm_sparse.kernels.attention_shape import UNBOUNDED, AttentionShape
from tvm_sparse.kernels.tiling import attention_tile
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric


def check(
    isa: str,
    layout: TokenLayout,
    heads: int,
    dim: int,
    mask: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    key_heads: int = 0,
    window: tuple[int, int] = (UNBOUNDED, UNBOUNDED),
    distances: tuple[bool, bool] = (False, False),
) -> None:
    rng = np.random.default_rng(dim)
    widths = [heads * dim, *[(key_heads or heads) * dim] * 2]
    operands = [normal(rng, layout.batch, layout.seq_len, width) for width in widths]
    features = [
        normal(rng, heads, dim, 2 * layout.seq_len - 1) if wanted else None for wanted in distances
    ]
    shape = AttentionShape(
        heads,
        dim,
        dim,
        tuple(widths),
        (0, 0, 0),
        dim**-0.5,
        None if mask is None else len(mask),
        key_heads,
        None if bias is None else bias.shape[:2],
        window,
        *distances,
    )
    out = run(
        make_attention(layout, shape, *attention_tile(layout, resolve_target(isa))),
        [
            *(to_tiles(x, layout) for x in operands),
            mask,
            None if bias is None else by_keys(bias, layout),
            *(None if x is None else by_distance(x, layout) for x in features),
        ],
        layout.shape(heads * dim),
        isa,
    )
    wanted = truth(*operands, heads, dim**-0.5, mask, bias, key_heads or heads, *features)
    tolerance = dot(dim, scale=12 * dim**-0.5)
    np.testing.assert_allclose(
        to_rows(out, layout),
        wanted,
        rtol=tolerance["rtol"] + ELEMENTWISE["rtol"],
        atol=2 * (tolerance["atol"] + ELEMENTWISE["atol"]),
    )


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize(
    ("seq_len", "batch", "extents"), [(37, 2, (1, 3)), (64, 2, (2, 1)), (5, 1, (1, 3))]
)
def test_a_bias_for_each_query_and_key(isa, seq_len, batch, extents):
    rng = np.random.default_rng(seq_len)
    bias = 3 * normal(rng, *extents, seq_len, seq_len)
    layout = choose_layout(batch, seq_len, resolve_target(isa))
    check(isa, layout, 3, 20, padding(rng, batch, seq_len), bias)


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize(
    ("seq_len", "window"),
    [(150, (9, 9)), (150, (UNBOUNDED, 0)), (70, (0, 3)), (70, (20, UNBOUNDED)), (7, (1, 1))],
)
def test_keys_outside_a_window_are_not_needed(isa, seq_len, window):
    layout = choose_layout(1, seq_len, resolve_target(isa))
    check(isa, layout, 2, 16, None, band(seq_len, *window), window=window)


def test_a_query_that_sees_no_key_attends_to_all_alike():
    """What lies behind a text sees padding alone, and attends to all keys, in the window or not."""
    layout = choose_layout(2, 90, widest())
    mask = np.zeros((2, 1, 1, 90), np.float32)
    mask[1, ..., 30:] = LOWEST
    check(widest().isa, layout, 2, 16, bias=np.minimum(mask, band(90, 8, 8)), window=(8, 8))


@pytest.mark.parametrize("isa", RUNNABLE)
def test_heads_that_share_keys_and_values(isa):
    layout = choose_layout(2, 33, resolve_target(isa))
    check(isa, layout, 6, 12, padding(np.random.default_rng(0), 2, 33), key_heads=2)


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("distances", [(True, True), (True, False), (False, True)])
def test_distances_have_features_of_their_own(isa, distances):
    layout = choose_layout(2, 45, resolve_target(isa))
    check(isa, layout, 2, 24, padding(np.random.default_rng(0), 2, 45), distances=distances)
