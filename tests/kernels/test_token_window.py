"""Convolutions along tokens in token tiles against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_runner import RUNNABLE, normal, run, to_rows, to_tiles
from tolerances import ELEMENTWISE

from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.kernels.token_window import WindowShape, make_token_window
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric

#: (batch, tokens): of one tile, of several, with a last one of few tokens.
SIZES = ((1, 128), (3, 37), (2, 3), (2, 70))
#: Taps, and those in front of a token.
WINDOWS = ((9, 4), (3, 0), (4, 3))


def windows(rows, taps, before):
    """Return (batch, tokens, features, taps) of (batch, tokens, features)."""
    line = np.pad(rows.astype(np.float64), ((0, 0), (before, taps - 1 - before), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(line, taps, axis=1)


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", WINDOWS)
def test_weights_of_features_and_of_tokens(isa, size, window):
    (batch, tokens), (taps, before), groups, width, offset = size, window, 3, 4, 2
    layout = choose_layout(batch, tokens, resolve_target(isa))
    rng = np.random.default_rng(0)
    features = groups * width
    data = normal(rng, batch, tokens, offset + features + 1)
    seen = windows(data[..., offset : offset + features], taps, before)

    def check(shape, weights, wanted):
        # What lies behind the end of a sequence in its last register is finite, and no zero.
        tiles = to_tiles(data, layout)
        kernel = make_token_window(layout, shape)
        out = run(kernel, [tiles, weights], layout.shape(features), isa)
        np.testing.assert_allclose(to_rows(out, layout), wanted, **ELEMENTWISE)

    of_features = normal(rng, features, taps)
    shape = WindowShape(features, offset, data.shape[2], taps, before)
    check(shape, of_features, (seen * of_features).sum(axis=-1))

    logits = normal(rng, batch, tokens, 1 + groups * taps) * 5
    powers = np.exp(logits[..., 1:].astype(np.float64)).reshape(batch, tokens, groups, 1, taps)
    of_tokens = powers / powers.sum(axis=-1, keepdims=True)
    by_group = seen.reshape(batch, tokens, groups, width, taps)
    shape = WindowShape(
        *(features, offset, data.shape[2], taps, before, groups),
        weights_offset=1,
        weights_total=logits.shape[2],
    )
    wanted = (by_group * of_tokens).sum(axis=-1).reshape(batch, tokens, features)
    check(shape, to_tiles(logits, layout), wanted)
