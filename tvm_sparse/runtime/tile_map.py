"""Which tokens lie in which tile of a run, and which sequences go through a model together.

A build that takes any batch and length computes on tiles of tokens. What they hold a run tells its
kernels: a tile map, int32 (tiles, 4), has for each tile the number of its sequence, the position
there of its first token, the first tile of that sequence, and the sequence's length in tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.config.micro_batches import MICRO_BATCH_TOKENS


@functools.lru_cache(maxsize=256)
def make_tile_map(lengths: tuple[int, ...], token_tile: int) -> NDArray[np.int32]:
    """Return the map of sequences that follow one another; it must not be written to.

    Parameters
    ----------
    lengths : tuple of int
        Tokens of each sequence, one at least.
    token_tile : int
        Tokens of a tile; the last tile of a sequence may hold fewer.
    """
    tokens = np.array(lengths, np.int64)
    tiles = -(-tokens // token_tile)
    first = np.cumsum(tiles) - tiles
    sequence = np.repeat(np.arange(len(tokens)), tiles)
    tile_map = np.empty((len(sequence), 4), np.int32)
    tile_map[:, 0] = sequence
    tile_map[:, 1] = (np.arange(len(sequence)) - first[sequence]) * token_tile
    tile_map[:, 2] = first[sequence]
    tile_map[:, 3] = tokens[sequence]
    return tile_map


def micro_batches(lengths: Sequence[int], threads: int) -> list[slice]:
    """Split a batch into neighbouring sequences that go through the model together.

    As few as give every thread some tiles, see `config.choose_micro_batch`; the micro-batches have
    as many tokens as each other, as far as whole sequences allow.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each sequence.
    threads : int
        Threads of the run.
    """
    count = filled = 0
    for length in lengths:
        filled += length
        if filled >= MICRO_BATCH_TOKENS * threads:
            count, filled = count + 1, 0
    if count < 2:
        return [slice(0, len(lengths))]
    ends = np.cumsum(lengths)
    # Where a sequence lies across a border, it belongs to the part that has most of it.
    borders = np.arange(1, count) * (ends[-1] / count)
    middles = ends - np.array(lengths) / 2
    cuts = [0, *np.searchsorted(middles, borders).tolist(), len(lengths)]
    return [slice(start, stop) for start, stop in pairwise(cuts) if start < stop]
