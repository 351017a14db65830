"""The token tiles a kernel passes over: as many as its layout says, or as the run says.

Kernels are written once for both kinds of layouts. Of an open one, the code of a tile comes in
variants for a few numbers of live registers, and a run chooses among them tile by tile.
"""

from __future__ import annotations

import functools
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
)
from tvm_sparse.target import PARALLEL_OPERATIONS, pays_in_parallel

#: Emits code for registers of a tile: the first one, and how many.
Emit: TypeAlias = "Callable[[Expr | int, int], None]"
#: The same, for a tile and a part of its work.
Compute: TypeAlias = "Callable[[Expr, Expr, Expr | int, int], None]"
#: The same, for a tile and several parts: the first one, and how many.
ComputeRun: TypeAlias = "Callable[[Expr, tuple[Expr, Expr | int], Expr | int, int], None]"

#: Tiles for each part of one that threads take whole, even if some threads get one more.
_TILES_PER_PART = 8

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
        Of an open layout: the live registers of a single tile up to which they are not.
    """

    pays: bool
    alone: int

    @classmethod
    def of(cls, layout: TokenLayout, operations: float) -> Work:
        """Return that of a kernel with so many operations a token."""
        tokens = layout.num_tiles * layout.token_tile
        alone = int(PARALLEL_OPERATIONS / 2 // max(operations * layout.lanes, 1))
        return cls(pays_in_parallel(operations * tokens), min(alone, layout.vectors))


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

    def live_registers(self, tile: Expr) -> Expr:
        """Return how many registers of a tile's features hold tokens."""
        left = self.length(tile) - self.position(tile)
        return T.min(-T.floordiv(-left, self.layout.lanes), int64(self.layout.vectors))

    def compute(self, name: str, parts: int, work: Work, emit: Compute) -> None:
        """Compute all tiles, each in so many parts of work, on all threads where that pays.

        `emit` is called with a tile, a part, the first register and how many of them.
        """
        if not self.layout.is_open:
            with parallel(self.count * parts, name, work.pays) as unit:
                tile, part = T.floordiv(unit, parts), T.floormod(unit, parts)
                emit(tile, part, 0, self.layout.vectors)
            return

        def alone(tile: Expr) -> None:
            with serial(0, parts) as part, serial(0, held(self.live_registers(tile))) as register:
                emit(tile, held(part), held(register), 1)

        # One part is nothing to share.
        most_alone = self.layout.vectors if parts == 1 else work.alone
        with self.together(name, most_alone, alone), parallel(self.count * parts, name) as unit:
            tile, part = held(T.floordiv(unit, parts)), held(T.floormod(unit, parts))
            live, most = self.live_registers(tile), self.layout.vectors
            self.split(live, most, functools.partial(emit, tile, part))

    def compute_runs(self, name: str, parts: int, work: Work, emit: ComputeRun) -> None:
        """Compute all tiles as `compute` does, several parts of a tile together.

        `emit` is called with a run of parts instead of one: the first, and how many. Into so many
        parts a single tile is cut for the threads; more tiles are taken whole where they come out
        even.
        """
        if not self.layout.is_open:
            self.compute(
                name, parts, work, lambda tile, part, *registers: emit(tile, (part, 1), *registers)
            )
            return

        def alone(tile: Expr) -> None:
            emit(tile, (int64(0), int64(parts)), 0, 1)

        is_even = tvm.tirx.any(
            T.floormod(self.count, parts) == 0, self.count >= parts * _TILES_PER_PART
        )
        shares = T.Select(is_even, int64(1), int64(parts))
        # One register alone: a tile must have the same sums whatever runs beside it, and those of
        # one are in the variant for one in any case.
        most_alone = min(work.alone, 1)
        with self.together(name, most_alone, alone), parallel(self.count * shares, name) as unit:
            taken, tile = held(T.floordiv(parts, shares)), held(T.floordiv(unit, shares))
            run = held(T.floormod(unit, shares) * taken), taken
            live, most = self.live_registers(tile), self.layout.vectors
            self.split(live, most, functools.partial(emit, tile, run))

    @contextmanager
    def together(self, name: str, most: int, alone: Callable[[Expr], None]) -> Iterator[None]:
        """Open the code for many tiles; `alone` emits that for one of at most so many registers."""
        if not most:
            yield
            return
        last = self.count - 1
        is_small = tvm.tirx.all(
            self._entry(last, _FIRST_TILE) + self._entry(last, _POSITION) == 0,
            self._entry(last, _LENGTH) <= most * self.layout.lanes,
        )
        # Loops of one iteration or none rather than branches, for the reason of `held`.
        once = T.Cast("int64", is_small)
        with serial(0, once), parallel(1, name) as tile:
            alone(tile)
        with serial(0, 1 - once):
            yield

    def split(self, live: Expr, most: int, emit: Emit) -> None:
        """Emit code for `live` registers of `most`: all of them, or a sum of powers of two.

        So there are few variants, and no register is computed that is not live. `emit` is called
        with the first register, and how many of them.
        """
        live = held(live)
        with T.If(live == most), T.Then(), own_registers():
            emit(0, most)
        rest = held(T.floormod(live, most))
        for count in (count for count in (4, 2, 1) if count < most):
            with T.If(T.bitwise_and(rest, int64(count)) != 0), T.Then(), own_registers():
                emit(held(T.bitwise_and(rest, int64(-2 * count))), count)

    def held(self, value: Expr) -> Expr:
        """Return an int64, on an open layout held in a register of its own, see `vector.held`."""
        return held(value) if self.layout.is_open else value

    def own_registers(self) -> AbstractContextManager[None]:
        """Open a piece of code whose registers others may take behind it, on an open layout."""
        return own_registers() if self.layout.is_open else nullcontext()

    def _entry(self, tile: Expr, column: int) -> Expr:
        assert self._map is not None, "the layout is not open, or its map not declared"
        return T.Cast("int64", self._map[tile, column])
