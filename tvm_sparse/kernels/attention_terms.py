"""What attention adds to a score: a mask for keys, a bias, and what distances say."""

from __future__ import annotations

import math

from tvm_sparse.kernels.attention_shape import AttentionShape
from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.vector import Expr, T, argument, broadcast, load

#: exp(x) = 2**(x log2 e): the factor joins the scale of the scores.
LOG2_E = math.log2(math.e)


def distance_width(tokens: int, lanes: int) -> int:
    """Return the columns of features of distances, for so many tokens in whole tiles.

    Column `tokens + d` is of a key d tokens in front of the query. An odd number of cache lines,
    so that rows do not share their places in cache.
    """
    lines = -(-2 * tokens // lanes)
    return (lines + 1 - lines % 2) * lanes


class ScoreTerms:
    """Arguments of a kernel that add to scores: declared in order, read by places."""

    def __init__(self, tiles: TokenTiles, shape: AttentionShape) -> None:
        self.shape, layout = shape, tiles.layout
        self.layout = layout
        self._mask = self._bias = None
        if shape.mask_batch is not None:
            batches, seq_len = tiles.rectangle()
            self._mask = argument("mask", (shape.mask_batch or batches, seq_len))
        self._tokens = shape.reach or layout.tiles_per_sequence * layout.token_tile
        width = distance_width(self._tokens, layout.lanes)
        if shape.bias is not None:
            of_pairs = (*shape.bias, layout.seq_len, self._tokens)
            self._bias = argument("bias", (shape.bias[1], width) if layout.is_open else of_pairs)
        names = ("to_position", "from_position")
        self._to, self._from = (
            argument(name, (shape.heads, shape.head_dim, width)) if getattr(shape, name) else None
            for name in names
        )

    @property
    def are_by_distance(self) -> bool:
        """Whether queries or keys meet features of distances."""
        return self._to is not None or self._from is not None

    def product(self, acc: Expr, q: Expr, k: Expr, head: Expr, d: Expr, apart: Expr) -> Expr:
        """Return `acc` with feature `d` of a register of queries and of a key multiplied in.

        `k` is the key's feature in all lanes, `apart` how far the first query is behind the key.
        """
        place = [head, d, apart + self._tokens]
        lanes = self.layout.lanes
        if self._from is not None:
            acc = acc + k * load(self._from, place, lanes)
        if self._to is not None:
            k = k + load(self._to, place, lanes)
        return acc + q * k

    def of_key(self, batch: Expr, position: Expr, length: Expr) -> Expr | None:
        """Return what the mask adds to all scores of a key, as a power of two."""
        if self._mask is None:
            return None
        passes_end = self.layout.is_open or self.shape.is_windowed
        at = T.min(position, length - 1) if passes_end else position
        entry = self._mask[batch if self.shape.mask_batch != 1 else 0, at]
        return broadcast(entry * T.float32(LOG2_E), self.layout.lanes)

    def of_pair(self, batch: Expr, head: Expr, query: Expr, key: Expr) -> Expr | None:
        """Return what the bias adds to scores of a register of queries with a key."""
        if self._bias is None or self.shape.bias is None:
            return None
        batches, heads = self.shape.bias
        of_head = head if heads > 1 else 0
        lanes = self.layout.lanes
        if self.layout.is_open:
            place = [of_head, query - key + self._tokens]
            return load(self._bias, place, lanes) * broadcast(LOG2_E, lanes)
        row = T.min(key, self.layout.seq_len - 1) if self.shape.is_windowed else key
        place = [batch if batches > 1 else 0, of_head, row, query]
        return load(self._bias, place, lanes) * broadcast(LOG2_E, lanes)
