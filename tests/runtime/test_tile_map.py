"""Tile maps and micro-batches: arithmetic on lengths."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.runtime.tile_map import make_tile_map, micro_batches

pytestmark = pytest.mark.unit


def test_a_tile_map_says_where_each_tile_lies() -> None:
    tile_map = make_tile_map((33, 1, 64), 32)
    assert tile_map.dtype == np.int32
    assert tile_map.tolist() == [
        [0, 0, 0, 33],
        [0, 32, 0, 33],
        [1, 0, 2, 1],
        [2, 0, 3, 64],
        [2, 32, 3, 64],
    ]


@pytest.mark.parametrize(
    ("lengths", "threads", "sizes"),
    [
        ([128], 2, [1]),
        ([128] * 8, 2, [4, 4]),
        ([128] * 8, 1, [2, 2, 2, 2]),
        ([384] * 8, 2, [1] * 8),
        ([16] * 32, 2, [32]),
        ([10, 10, 20, 380, 390, 400], 1, [4, 1, 1]),
        ([500, 1], 1, [2]),
        ([1, 500], 1, [2]),
    ],
)
def test_micro_batches_have_as_many_tokens_as_each_other(lengths, threads, sizes) -> None:
    parts = micro_batches(lengths, threads)
    assert [part.stop - part.start for part in parts] == sizes
    assert parts[0].start == 0
    assert parts[-1].stop == len(lengths)
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
