"""Attention of first tokens against the first rows of a softmax written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
from attention_truth import padding, truth
from kernel_runner import RUNNABLE, normal, run, to_tiles
from tolerances import dot

from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.kernels.first_token_attention import FirstTokenHeads, make_first_token_attention
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize(
    ("batch", "seq_len", "head_dim", "value_dim", "masks", "stacked"),
    [
        (1, 128, 64, 64, 0, False),
        (3, 37, 16, 24, 3, True),
        (2, 70, 16, 16, 2, True),
        (2, 7, 5, 3, 1, False),
    ],
)
def test_first_rows_are_those_of_all(isa, batch, seq_len, head_dim, value_dim, masks, stacked):
    rng, heads = np.random.default_rng(head_dim), 3
    layout = choose_layout(batch, seq_len, resolve_target(isa))
    query, key = (normal(rng, batch, seq_len, heads * head_dim) for _ in range(2))
    value = normal(rng, batch, seq_len, heads * value_dim)
    mask = padding(rng, masks, seq_len) if masks else None
    scale = head_dim**-0.5
    expected = truth(query, key, value, heads, scale, mask)[:, 0]
    operands, offsets = [key, value], (0, 0)
    if stacked:
        operands, offsets = [np.concatenate(operands, axis=-1)] * 2, (0, heads * head_dim)
    shape = FirstTokenHeads(
        heads=heads,
        head_dim=head_dim,
        value_dim=value_dim,
        features=tuple(x.shape[-1] for x in operands),
        offsets=offsets,
        scale=scale,
        mask_batch=masks or None,
    )
    out = run(
        make_first_token_attention(layout, shape),
        [np.ascontiguousarray(query[:, 0]), *(to_tiles(x, layout) for x in operands), mask],
        (batch, heads * value_dim),
        isa,
    )
    np.testing.assert_allclose(out, expected, **dot(head_dim, scale=float(scale) * 4))
