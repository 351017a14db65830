"""The token tiles a kernel passes over: as many as its layout says, or as the run says.

Kernels are written once for both kinds of layouts. Tiles of an open one, a register each, are taken
in groups of neighbours, whatever sequences they are of: the code comes in variants for a few sizes
of a group, and only the last group of a run is smaller than the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.vector import (
    Buffer,
    Expr,
    T,
    argument,
    held,
    int64,
    own_registers,
    parallel,
    serial,
    threads_of_run,
)
from tvm_sparse.target import PARALLEL_OPERATIONS, pays_in_parallel

#: Emits code for registers of tokens: those of a tile, or so many tiles of an open layout.
Emit: TypeAlias = "Callable[[Expr, int], None]"
#: The same, for a part of the work on them.
Compute: TypeAlias = "Callable[[Expr, Expr, int], None]"
#: The same, for several parts: the first one, and how many.
ComputeRun: TypeAlias = "Callable[[Expr, tuple[Expr, Expr | int], int], None]"
#: The same, for as many registers as the run says.
FinishRun: TypeAlias = "Callable[[Expr, tuple[Expr, Expr | int], Expr | int], None]"

#: Tiles that pass a weight before the next tiles do.
_TILES_PER_BLOCK = 16

#: The columns of a tile map, see `TokenLayout`.
_SEQUENCE, _POSITION, _FIRST_TILE, _LENGTH = range(4)


@dataclass(frozen=True)
class Work:
    """When threads are worth waking.

    Attributes
    ----------
    pays : bool
        Whether they are for all tiles of a layout that is not open.
    alone : int
        Of an open layout: the tiles of a run up to which they are not.
    """

    pays: bool
    alone: int

    @classmethod
    def of(cls, layout: TokenLayout, operations: float, features: int) -> Work:
        """Return that of a kernel with so many operations a token, and features of the result."""
        tokens = layout.num_tiles * layout.token_tile
        alone = int(PARALLEL_OPERATIONS / 2 // max(operations * layout.lanes, 1))
        return cls(pays_in_parallel(operations * tokens, layout.kept_values(features)), alone)


ALWAYS_SHARED = Work(pays=True, alone=0)


class TokenTiles:
    """The tiles of a layout, and of an open one the map that says where they lie.

    Attributes
    ----------
    count : int or Expr
        How many there are.
    """

    def __init__(self, layout: TokenLayout) -> None:
        self.layout = layout
        self.count: int | Expr = T.int64() if layout.is_open else layout.num_tiles
        self._rectangle = (
            (T.int64(), T.int64()) if layout.is_open else (layout.batch, layout.seq_len)
        )
        self._map: Buffer | None = None

    def shape(self, features: int) -> tuple[int | Expr, int, int]:
        """Return the shape of a tiled tensor."""
        return (self.count, features, self.layout.token_tile)

    def rectangle(self) -> tuple[int | Expr, int | Expr]:
        """Return the extents of what is not in tiles: sequences, and tokens of the longest."""
        return self._rectangle

    def declare_map(self) -> None:
        """Declare the tile map of an open layout as the next argument of the function."""
        if self.layout.is_open:
            self._map = argument("tile_map", (self.count, 4), "int32")

    def sequence_of(self, tile: Expr) -> tuple[Expr, ...]:
        """Return the number of a tile's sequence, its first tile, and its tokens."""
        if self.layout.is_open:
            columns = (_SEQUENCE, _FIRST_TILE, _LENGTH)
            return tuple(held(self._entry(tile, column)) for column in columns)
        sequence = T.floordiv(tile, self.layout.tiles_per_sequence)
        return sequence, sequence * self.layout.tiles_per_sequence, self.layout.seq_len

    def sequence(self, tile: Expr) -> Expr:
        """Return the number of a tile's sequence."""
        return self._entry(tile, _SEQUENCE)

    def position(self, tile: Expr) -> Expr:
        """Return the position of a tile's first token within its sequence."""
        if self.layout.is_open:
            return self._entry(tile, _POSITION)
        return T.floormod(tile, self.layout.tiles_per_sequence) * self.layout.token_tile

    def length(self, tile: Expr) -> Expr:
        """Return the tokens of a tile's sequence."""
        return self._entry(tile, _LENGTH)

    def place(
        self, tile: Expr, feature: Expr, register: int, first_token: Expr | int = 0
    ) -> list[Expr]:
        """Return where a feature of a register of tokens lies, counted from a tile and token on."""
        if self.layout.is_open:
            return [tile + register, feature, first_token]
        return [tile, feature, first_token + register * self.layout.lanes]

    def apart(self, features: int) -> int:
        """Return the floats from a register to the next one of the same feature."""
        return self.layout.lanes * (features if self.layout.is_open else 1)

    def compute(
        self, name: str, parts: int, work: Work, emit: Compute, evenly: bool = False
    ) -> None:
        """Compute all tiles, each in so many parts of work, on all threads where that pays.

        `emit` is called with a tile, a part, and how many registers from there on. Threads take as
        many registers where there is so much work in them that it pays to cut a tile for it
        (`evenly`), and as many tiles elsewhere.
        """
        if not self.layout.is_open:
            self._compute_fixed(name, parts, work, emit, evenly)
            return

        def alone() -> None:
            with serial(0, parts) as part, serial(0, self.count) as tile:
                emit(held(tile), held(part), 1)

        # A thread alone takes tile by tile, which of a group only the first does not lose by. One
        # part of one group is nothing to share.
        few = work.alone if self.layout.together == 1 else min(work.alone, 1)
        most = self.layout.together
        groups = T.floordiv(self.count + (most - 1), int64(most))
        with (
            self.unless_few(name, max(few, 1) if parts == 1 else few, alone),
            parallel(groups * parts, name) as unit,
        ):
            part, first = held(T.floormod(unit, parts)), held(T.floordiv(unit, parts) * most)
            tiles = T.min(self.count - first, int64(most))
            self.split(first, tiles, most, lambda tile, count: emit(tile, part, count))

    @contextmanager
    def in_blocks(self, name: str, parts: int) -> Iterator[tuple[Expr, Expr, Expr]]:
        """Open the code for a block of neighbouring tiles: the first, their end, a part of work.

        Of an open layout. Threads take the parts of a block, so that weights pass by once a block
        and the split is even for any number of tiles. Many tiles are several blocks, for what is
        computed of a token to lie in the cache of the thread that takes it next.
        """
        blocks = T.max(T.floordiv(self.count, _TILES_PER_BLOCK), int64(1))
        with parallel(blocks * parts, name) as unit:
            block, part = held(T.floordiv(unit, parts)), held(T.floormod(unit, parts))
            blocks = held(blocks)
            first, stop = (held(T.floordiv((block + edge) * self.count, blocks)) for edge in (0, 1))
            yield first, stop, part

    def compute_runs(
        self, name: str, parts: int, work: Work, emit: ComputeRun, finish: FinishRun
    ) -> None:
        """Compute all tiles as `compute` does, several parts of a tile together.

        `emit` is called with a run of parts instead of one: the first, and how many. `finish`
        follows with the same, but is written once for any number of registers. Of an open
        layout each thread takes neighbouring tiles, and of the tile where its share begins or ends
        some of the parts: what it computes of a token then lies in its cache for what comes next.
        """
        if not self.layout.is_open:

            def whole(tile: Expr, part: Expr, count: int) -> None:
                emit(tile, (part, 1), count)
                finish(tile, (part, 1), count)

            self.compute(name, parts, work, whole)
            return

        def alone() -> None:
            first, run = int64(0), (int64(0), int64(parts))
            emit(first, run, 1)
            finish(first, run, 1)

        threads = threads_of_run()
        with self.unless_few(name, min(work.alone, 1), alone), parallel(threads, name) as thread:
            start, stop = (
                held(T.floordiv((thread + edge) * (self.count * parts), threads)) for edge in (0, 1)
            )
            self.split_range(start, stop, parts, emit, finish)

    @contextmanager
    def unless_few(self, name: str, few: int, alone: Callable[[], None]) -> Iterator[None]:
        """Open the code for many tiles; `alone` emits that of one thread for at most so many."""
        if not few:
            yield
            return
        # Loops of one iteration or none rather than branches, for the reason of `held`.
        once = T.Cast("int64", self.count <= few)
        with serial(0, once), parallel(1, name):
            alone()
        with serial(0, 1 - once):
            yield

    def split(self, first: Expr, tiles: Expr, most: int, emit: Emit) -> None:
        """Emit code for tiles from the first on: `most` together, or fewer as powers of two.

        So there are few variants, and nothing is computed that is not there. `emit` is called with
        the first tile, and how many of them.
        """
        first, tiles = held(first), held(tiles)
        with T.If(tiles == most), T.Then(), own_registers():
            emit(first, most)
        rest = held(T.floormod(tiles, most))
        for count in (count for count in (4, 2, 1) if count < most):
            with T.If(T.bitwise_and(rest, int64(count)) != 0), T.Then(), own_registers():
                emit(held(first + T.bitwise_and(rest, int64(-2 * count))), count)

    def split_range(
        self, start: Expr, stop: Expr, parts: int, emit: ComputeRun, finish: FinishRun
    ) -> None:
        """Emit code for a range of the parts of all tiles, tile by tile.

        In pieces: the rest of a tile that it begins in, whole tiles as `split` takes them, and the
        beginning of the one that it ends in.
        """
        most = self.layout.together
        whole = held(T.min(T.floordiv(start + (parts - 1), parts) * parts, stop))
        last = held(T.max(T.floordiv(stop, parts) * parts, whole))
        groups = held(T.floordiv(last - whole + (most * parts - 1), most * parts))
        with serial(0, groups + 2) as piece:
            is_whole = held(T.Cast("int64", tvm.tirx.all(piece > 0, piece <= groups)))
            first = T.Select(piece == 0, start, T.Select(piece > groups, last, int64(0)))
            end = T.Select(piece == 0, whole, T.Select(piece > groups, stop, int64(0)))
            of_group = held(whole + (piece - 1) * (most * parts))
            first = held(first + of_group * is_whole)
            end = held(end + T.min(of_group + most * parts, last) * is_whole)
            tiles = T.Select(
                is_whole == 1, T.floordiv(end - first, parts), T.Cast("int64", end > first)
            )
            run = held(T.floormod(first, parts)), held(T.min(end - first, int64(parts)))
            tile, tiles = held(T.floordiv(first, parts)), held(tiles)
            self.split(tile, tiles, most, lambda tile, count: emit(tile, run, count))
            finish(tile, run, tiles)

    def is_last(self, tile: Expr) -> Expr:
        """Return whether a tile is the last of its sequence, of a layout that is not open."""
        per_sequence = self.layout.tiles_per_sequence
        return T.floormod(tile, per_sequence) == per_sequence - 1

    def _compute_fixed(
        self, name: str, parts: int, work: Work, emit: Compute, evenly: bool
    ) -> None:
        """Compute the tiles of a layout that is not open, in units of about equal work.

        A unit is a part of a tile; of a last one with fewer registers several, if `evenly`.
        """
        layout, last_tile = self.layout, self.layout.tiles_per_sequence - 1
        whole, last = layout.vectors, layout.last_vectors
        run = min(whole // last, parts) if evenly else 1
        units = last_tile * parts + -(-parts // run)
        with parallel(layout.batch * units, name, work.pays) as unit:
            nth = T.floormod(unit, units)
            within = T.min(T.floordiv(nth, parts), int64(last_tile))
            tile = T.floordiv(unit, units) * layout.tiles_per_sequence + within
            part = nth - within * parts
            if last == whole:
                emit(tile, part, whole)
                return
            with T.If(within == last_tile):
                with T.Then(), own_registers():
                    with serial(0, T.min(int64(run), parts - part * run)) as offset:
                        emit(tile, part * run + offset, last)
                with T.Else(), own_registers():
                    emit(tile, part, whole)

    def held(self, value: Expr) -> Expr:
        """Return an int64, on an open layout held in a register of its own, see `vector.held`."""
        return held(value) if self.layout.is_open else value

    def own_registers(self) -> AbstractContextManager[None]:
        """Open a piece of code whose registers others may take behind it, on an open layout."""
        return own_registers() if self.layout.is_open else nullcontext()

    def _entry(self, tile: Expr, column: int) -> Expr:
        assert self._map is not None, "the layout is not open, or its map not declared"
        return T.Cast("int64", self._map[tile, column])
