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
)
from tvm_sparse.target import PARALLEL_OPERATIONS, pays_in_parallel

#: Emits code for registers of tokens: those of a tile, or so many tiles of an open layout.
Emit: TypeAlias = "Callable[[Expr, int], None]"
#: The same, for a part of the work on them.
Compute: TypeAlias = "Callable[[Expr, Expr, int], None]"
#: The same, for several parts: the first one, and how many.
ComputeRun: TypeAlias = "Callable[[Expr, tuple[Expr, Expr | int], int], None]"

#: Groups for each part of one that threads take whole, even if some threads get one more.
_GROUPS_PER_PART = 8

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
    def of(cls, layout: TokenLayout, operations: float) -> Work:
        """Return that of a kernel with so many operations a token."""
        tokens = layout.num_tiles * layout.token_tile
        alone = int(PARALLEL_OPERATIONS / 2 // max(operations * layout.lanes, 1))
        return cls(pays_in_parallel(operations * tokens), alone)


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

    def compute(self, name: str, parts: int, work: Work, emit: Compute) -> None:
        """Compute all tiles, each in so many parts of work, on all threads where that pays.

        `emit` is called with a tile, a part, and how many registers from there on.
        """
        if not self.layout.is_open:
            with parallel(self.count * parts, name, work.pays) as unit:
                tile, part = T.floordiv(unit, parts), T.floormod(unit, parts)
                emit(tile, part, self.layout.vectors)
            return

        def alone() -> None:
            with serial(0, parts) as part, serial(0, self.count) as tile:
                emit(held(tile), held(part), 1)

        # A thread alone takes tile by tile, which of a group only the first does not lose by. One
        # part of one group is nothing to share.
        few = work.alone if self.layout.together == 1 else min(work.alone, 1)
        with (
            self.unless_few(name, max(few, 1) if parts == 1 else few, alone),
            parallel(self._groups() * parts, name) as unit,
        ):
            part = held(T.floormod(unit, parts))
            self._split_group(T.floordiv(unit, parts), lambda tile, count: emit(tile, part, count))

    def compute_runs(self, name: str, parts: int, work: Work, emit: ComputeRun) -> None:
        """Compute all tiles as `compute` does, several parts of a tile together.

        `emit` is called with a run of parts instead of one: the first, and how many. Into so many
        parts tiles taken together are cut for the threads; more of them are taken whole where they
        come out even.
        """
        if not self.layout.is_open:
            self.compute(name, parts, work, lambda tile, part, count: emit(tile, (part, 1), count))
            return

        def alone() -> None:
            emit(int64(0), (int64(0), int64(parts)), 1)

        groups = self._groups()
        is_even = tvm.tirx.any(T.floormod(groups, parts) == 0, groups >= parts * _GROUPS_PER_PART)
        shares = T.Select(is_even, int64(1), int64(parts))
        with (
            self.unless_few(name, min(work.alone, 1), alone),
            parallel(groups * shares, name) as unit,
        ):
            taken, group = held(T.floordiv(parts, shares)), T.floordiv(unit, shares)
            run = held(T.floormod(unit, shares) * taken), taken
            self._split_group(group, lambda tile, count: emit(tile, run, count))

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

    def _groups(self) -> Expr:
        """Return how many groups of tiles taken together there are, the last one maybe smaller."""
        most = self.layout.together
        return T.floordiv(self.count + (most - 1), int64(most))

    def _split_group(self, group: Expr, emit: Emit) -> None:
        first, most = held(group * self.layout.together), self.layout.together
        self.split(first, T.min(self.count - first, int64(most)), most, emit)

    def held(self, value: Expr) -> Expr:
        """Return an int64, on an open layout held in a register of its own, see `vector.held`."""
        return held(value) if self.layout.is_open else value

    def own_registers(self) -> AbstractContextManager[None]:
        """Open a piece of code whose registers others may take behind it, on an open layout."""
        return own_registers() if self.layout.is_open else nullcontext()

    def _entry(self, tile: Expr, column: int) -> Expr:
        assert self._map is not None, "the layout is not open, or its map not declared"
        return T.Cast("int64", self._map[tile, column])
