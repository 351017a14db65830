"""Moving activations into token tiles and back changes no value."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_runner import RUNNABLE, normal, run, to_rows, to_tiles

from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.kernels.token_layout import (
    make_gather_tokens,
    make_pack_tokens,
    make_unpack_tokens,
)
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize(
    ("seq_len", "batch", "features"),
    [(128, 1, 64), (127, 3, 20), (16, 3, 16), (3, 1, 33), (1, 3, 1)],
)
def test_there_and_back(isa, seq_len, batch, features):
    layout = choose_layout(batch, seq_len, resolve_target(isa))
    rows = normal(np.random.default_rng(0), batch, seq_len, features)
    tiles = run(make_pack_tokens(layout, features), [rows], layout.shape(features), isa)
    np.testing.assert_array_equal(to_rows(tiles, layout), rows)
    # Tokens past the sequence are zero: whatever is computed of them stays finite.
    assert np.count_nonzero(tiles) == np.count_nonzero(rows)
    back = run(
        make_unpack_tokens(layout, features),
        [to_tiles(rows, layout)],
        (batch, seq_len, features),
        isa,
    )
    np.testing.assert_array_equal(back, rows)


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize(
    ("seq_len", "batch", "features"),
    [(128, 1, 64), (127, 2, 20), (16, 3, 16), (3, 1, 33), (1, 3, 1)],
)
def test_rows_of_tables_are_added_up(isa, seq_len, batch, features):
    """Ids of every sequence or of all alike, in either integer type, some beyond the table."""
    rng = np.random.default_rng(1)
    layout = choose_layout(batch, seq_len, resolve_target(isa))
    sizes, batches, dtypes = (50, 130, 2), (batch, 1, batch), ("int32", "int64", "int32")
    tables = [normal(rng, size, features) for size in sizes]
    ids = [
        rng.integers(-3, size + 3, (extent, seq_len)).astype(dtype)
        for size, extent, dtype in zip(sizes, batches, dtypes, strict=True)
    ]
    spec = tuple(zip(sizes, batches, dtypes, strict=True))
    out = run(
        make_gather_tokens(layout, features, spec),
        [array for pair in zip(ids, tables, strict=True) for array in pair],
        layout.shape(features),
        isa,
    )
    wanted = sum(
        table[np.clip(rows, 0, len(table) - 1)] for rows, table in zip(ids, tables, strict=True)
    )
    np.testing.assert_allclose(to_rows(out, layout), wanted, rtol=1e-6, atol=1e-6)
    padding = out.transpose(0, 2, 1).reshape(batch, -1, features)[:, seq_len:]
    assert not padding.any()
