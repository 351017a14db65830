"""Which keys some queries of attention visit: all, or those of a window."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

from tvm_sparse.kernels.attention_shape import UNBOUNDED, AttentionShape
from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.vector import Expr, Registers, T, held, int64, scratch, serial

#: Emits code for keys of a tile: the tile within its sequence, the first key there, and behind the
#: last one.
EmitKeys: TypeAlias = "Callable[[Expr | int, Expr | int, Expr | int], None]"

#: What no score is that a mask leaves: half of what masks of float32 add at the most.
NOTHING_SEEN = -1.5e38


class Keys:
    """The keys that a block of queries visits.

    `first_query` is the position of the first, `queries` how many there are, `length` that of their
    sequence.
    """

    def __init__(
        self,
        tiles: TokenTiles,
        shape: AttentionShape,
        first_query: Expr,
        queries: int,
        length: Expr | int,
    ) -> None:
        self.layout, self.shape, self.length = tiles.layout, shape, length
        if shape.is_windowed:
            before, behind = shape.window
            start = T.max(first_query - before, int64(0)) if before != UNBOUNDED else int64(0)
            end = first_query + (queries + behind) if behind != UNBOUNDED else length
            self._bounds = scratch(4, "int64")
            self._set(0, start, T.min(end, length))
            self._set(2, start, T.min(end, length))

    @property
    def may_pass_end(self) -> bool:
        """Whether keys are visited that are none: those of a group behind the last key."""
        return self.layout.is_open or self.shape.is_windowed

    def together(self, most: int) -> int:
        """Return how many keys are scored together, at most so many.

        Where the run says which there are, groups are whole, and so few that little passes the end.
        """
        size = self.layout.token_tile
        if not self.may_pass_end:
            return min(most, size)
        return next(n for n in (8, 4, 2, 1) if n <= most and size % n == 0)

    def score(self, emit: EmitKeys, top: Registers) -> None:
        """Emit the code that scores keys, and keeps the largest score of each query in `top`.

        A query that sees no key of its window attends to all keys alike, as it would if there were
        no window: then all are visited.
        """
        if not self.shape.is_windowed:
            self._visit_all(emit)
            return
        with serial(0, 2):
            self._visit(2, emit)
            lowest = top.lowest()
            missing = held(T.Cast("int64", lowest < T.float32(NOTHING_SEEN)))
            start, end = self._at(0), self._at(1)
            self._set(2, int64(0), self.length * missing)
            self._set(0, start * (1 - missing), end + (self.length - end) * missing)

    def each_tile(self, emit: EmitKeys) -> None:
        """Call `emit` for the keys that have been scored, tile by tile."""
        if self.shape.is_windowed:
            self._visit(0, emit)
        else:
            self._visit_all(emit)

    def each(self) -> AbstractContextManager[Expr]:
        """Open a loop over the positions of the keys that have been scored."""
        if self.shape.is_windowed:
            return serial(self._at(0), self._at(1))
        return serial(0, self.length)

    def _visit_all(self, emit: EmitKeys) -> None:
        """Emit the full tiles, in a loop, and what is left."""
        size = self.layout.token_tile
        if self.layout.is_open:
            with serial(0, held(T.floordiv(self.length + (size - 1), size))) as key_tile:
                emit(key_tile, 0, held(T.min(self.length - key_tile * size, int64(size))))
            return
        full, rest = divmod(self.layout.seq_len, size)
        if full:
            with serial(0, full) as key_tile:
                emit(key_tile, 0, size)
        if rest:
            emit(full, 0, rest)

    def _visit(self, bounds: int, emit: EmitKeys) -> None:
        size = self.layout.token_tile
        start, end = self._at(bounds), self._at(bounds + 1)
        with serial(T.floordiv(start, size), T.floordiv(end + (size - 1), size)) as key_tile:
            key_tile = held(key_tile)
            first = held(T.max(start - key_tile * size, int64(0)))
            emit(key_tile, first, held(T.min(end - key_tile * size, int64(size))))

    def _at(self, index: int) -> Expr:
        return self._bounds[int64(index)]

    def _set(self, index: int, start: Expr, end: Expr) -> None:
        T.buffer_store(self._bounds, start, [int64(index)])
        T.buffer_store(self._bounds, T.Cast("int64", end), [int64(index + 1)])


def in_groups(
    first: int | Expr, end: int | Expr, most: int, emit: Callable[[int | Expr, int], None]
) -> None:
    """Call emit(first, count) for groups of `most` in a loop, and for what is left.

    Groups begin at multiples of `most`. Where only the run knows how many, the first and the last
    are whole too.
    """
    if not (isinstance(first, int) and isinstance(end, int)):
        last = held(T.floordiv(end + (most - 1), most))
        with serial(first if isinstance(first, int) else T.floordiv(first, most), last) as group:
            emit(group * most, most)
        return
    groups, rest = divmod(end, most)
    if groups:
        with serial(0, groups) as group:
            emit(group * most, most)
    if rest:
        emit(groups * most, rest)
