"""Dense weights of eight bits as AMX's registers hold them: 16 outputs by 16 words of inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.formats.quantized import TILE, WORD

#: Outputs of two tiles, which kernels take together.
PAIR = 2 * TILE


def step_words(depth: int) -> int:
    """Return the words of each step of a product over K inputs: a tile's, or all."""
    return min(TILE, depth // WORD)


def packed_depth(depth: int) -> int:
    """Return the inputs of all steps, with those that are there twice."""
    step = WORD * step_words(depth)
    return -(-depth // step) * step


def pack_tiles(values: NDArray[np.int8]) -> NDArray[Any]:
    """Return the integers of a weight (N, K) in pairs of tiles, the tiles of a step side by side.

    int32 (ceil(N / 32), steps, 32, words), padded with outputs of zeros. The last step is of the
    last words: those that the step before has as well are zero in it, so that nothing behind the
    words of a token is read.
    """
    units, depth = values.shape
    step, stored = WORD * step_words(depth), packed_depth(depth)
    pairs = -(-units // PAIR)
    padded = np.zeros((pairs * PAIR, stored), np.int8)
    before = stored - step
    padded[:units, :before] = values[:, :before]
    padded[:units, stored - (depth - before) :] = values[:, before:]
    steps = padded.reshape(pairs, PAIR, stored // step, step).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(steps).view(np.int32)
