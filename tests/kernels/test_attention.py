"""The attention kernel against a softmax written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
from attention_truth import padding, truth
from kernel_runner import RUNNABLE, normal, run, to_rows, to_tiles, widest
from tolerances import ELEMENTWISE, dot

from tvm_sparse.formats.token_layout import TokenLayout, choose_layout
from tvm_sparse.kernels.attention import make_attention
from tvm_sparse.kernels.attention_shape import AttentionShape
from tvm_sparse.kernels.tiling import attention_tile
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric


def check(
    isa: str,
    layout: TokenLayout,
    heads: int,
    head_dim: int,
    mask: np.ndarray | None,
    value_dim: int | None = None,
    stacked: bool = False,
    rows: int | None = None,
    scale: float | None = None,
    spread: float = 1.0,
) -> None:
    rng = np.random.default_rng(head_dim)
    value_dim, scale = value_dim or head_dim, scale or head_dim**-0.5
    widths = (heads * head_dim, heads * head_dim, heads * value_dim)
    query, key, value = (
        spread * normal(rng, layout.batch, layout.seq_len, width) for width in widths
    )
    operands, offsets = [query, key, value], (0, 0, 0)
    if stacked:  # as one product of Q, K and V leaves them
        operands = [np.concatenate(operands, axis=-1)] * 3
        offsets = (0, widths[0], widths[0] + widths[1])
    shape = AttentionShape(
        heads=heads,
        head_dim=head_dim,
        value_dim=value_dim,
        features=tuple(x.shape[-1] for x in operands),
        offsets=offsets,
        scale=scale,
        mask_batch=None if mask is None else len(mask),
    )
    vectors, most, shares = attention_tile(layout, resolve_target(isa))
    out = run(
        make_attention(layout, shape, vectors, rows or most, shares),
        [*(to_tiles(x, layout) for x in operands), mask],
        layout.shape(heads * value_dim),
        isa,
    )
    # Errors of a score pass through exp: relative errors of the weights, which sum to one.
    tolerance = dot(head_dim, scale=float(scale * spread**2) * 4)
    np.testing.assert_allclose(
        to_rows(out, layout),
        truth(query, key, value, heads, scale, mask),
        rtol=tolerance["rtol"] + ELEMENTWISE["rtol"],
        atol=(tolerance["atol"] + ELEMENTWISE["atol"]) * max(1.0, spread) * 2,
    )


CASES = [  # tokens, batch, heads, head dim, rows of the mask
    (128, 1, 2, 64, 1),
    (127, 3, 1, 32, 3),
    (70, 2, 2, 16, 2),
    (197, 1, 1, 16, None),
    (16, 3, 3, 20, 1),
    (3, 1, 2, 20, None),
    (1, 3, 2, 32, 3),
]


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize(("seq_len", "batch", "heads", "head_dim", "mask_rows"), CASES)
def test_shapes(isa, seq_len, batch, heads, head_dim, mask_rows):
    rng = np.random.default_rng(seq_len)
    mask = None if mask_rows is None else padding(rng, mask_rows, seq_len)
    layout = choose_layout(batch, seq_len, resolve_target(isa))
    check(isa, layout, heads, head_dim, mask)


def test_stacked_operands_and_values_of_another_width():
    layout = choose_layout(2, 37, widest())
    mask = padding(np.random.default_rng(0), 2, 37)
    check(widest().isa, layout, 2, 12, mask, value_dim=20, stacked=True)


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_rows_that_divide_neither_keys_nor_features(rows):
    layout = TokenLayout(1, 35, 2 * widest().lanes(), widest().lanes())
    check(widest().isa, layout, 2, 14, None, rows=rows)


def test_one_key_takes_all():
    """Scores hundreds apart: nothing overflows, the smaller ones vanish."""
    check(widest().isa, choose_layout(1, 20, widest()), 1, 16, None, scale=1.0, spread=8.0)


@pytest.mark.parametrize("blocked", [-1e4, -1e9, float(np.finfo(np.float32).min)])
def test_a_sequence_of_padding_alone(blocked):
    """TensorFlow then attends to all keys alike, up to the scores lost in rounding."""
    layout = choose_layout(2, 18, widest())
    mask = padding(np.random.default_rng(1), 2, 18, blocked)
    mask[1] = blocked
    rng = np.random.default_rng(2)
    # Equal keys: the scores of one query are equal, and so are the weights in any precision.
    query, value = normal(rng, 2, 18, 8), normal(rng, 2, 18, 8)
    key = np.broadcast_to(normal(rng, 1, 1, 8), (2, 18, 8)).copy()
    shape = AttentionShape(1, 8, 8, (8, 8, 8), (0, 0, 0), 8**-0.5, 2)
    out = run(
        make_attention(layout, shape, 1, 4),
        [*(to_tiles(x, layout) for x in (query, key, value)), mask],
        layout.shape(8),
        widest().isa,
    )
    np.testing.assert_allclose(
        to_rows(out, layout)[1],
        np.broadcast_to(value[1].mean(axis=0), (18, 8)),
        **{name: 4 * bound for name, bound in ELEMENTWISE.items()},
    )
