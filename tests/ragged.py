"""Sequences of different lengths in the tiles of an open layout, in plain numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from kernel_runner import GARBAGE

from tvm_sparse.formats.token_layout import TokenLayout

#: Lengths of the sequences of a batch: one token, part of a tile, several tiles and groups.
BATCHES: tuple[tuple[int, ...], ...] = ((1,), (7,), (61,), (128,), (5, 130, 1, 64, 33))


def tile_map(lengths: Sequence[int], layout: TokenLayout) -> np.ndarray:
    """Return the tile map (TILES, 4) of a batch."""
    rows: list[tuple[int, int, int, int]] = []
    for sequence, length in enumerate(lengths):
        first = len(rows)
        starts = range(0, length, layout.token_tile)
        rows += [(sequence, start, first, length) for start in starts]
    return np.array(rows, np.int32)


def rectangle(sequences: Sequence[np.ndarray], fill: float = 0) -> np.ndarray:
    """Return (S, F) sequences as one (B, longest, F), with `fill` behind their ends."""
    longest = max(map(len, sequences))
    return np.stack(
        [
            np.pad(
                rows, [(0, longest - len(rows)), *[(0, 0)] * (rows.ndim - 1)], constant_values=fill
            )
            for rows in sequences
        ]
    )


def to_tiles(sequences: Sequence[np.ndarray], layout: TokenLayout) -> np.ndarray:
    """Return (S, F) sequences as tiles, with garbage behind their ends."""
    tiles = []
    for rows in sequences:
        for start in range(0, len(rows), layout.token_tile):
            part = rows[start : start + layout.token_tile]
            tile = np.full((layout.token_tile, rows.shape[1]), GARBAGE, np.float32)
            tile[: len(part)] = part
            tiles.append(tile.T)
    return np.ascontiguousarray(np.stack(tiles), np.float32)


def to_sequences(
    tiles: np.ndarray, lengths: Sequence[int], layout: TokenLayout
) -> list[np.ndarray]:
    """Return the (S, F) sequences that lie in tiles."""
    found, first = [], 0
    for length in lengths:
        count = -(-length // layout.token_tile)
        rows = tiles[first : first + count].transpose(0, 2, 1).reshape(-1, tiles.shape[1])
        found.append(rows[:length])
        first += count
    return found
