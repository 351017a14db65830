"""The token tiles a kernel passes over: as many as its layout says, or as the run says.

Kernels are written once for both kinds of layouts. Of an open one, the code of a tile comes in
variants for a few numbers of live registers, and a run chooses among them tile by tile.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.vector import Buffer, Expr, T, argument, held, int64, own_registers

#: Emits code for registers of a tile: the first one, and how many.
Emit: TypeAlias = "Callable[[Expr | int, int], None]"

#: The columns of a tile map, see `TokenLayout`.
_SEQUENCE, _POSITION, _FIRST_TILE, _LENGTH = range(4)


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

    def each_part(self, tile: Expr, emit: Emit, registers: tuple[Expr, int] | None = None) -> None:
        """Emit the code of a tile: once, or in variants that together compute its live registers.

        `emit` is called with the first register, and how many of them: a number. Given `registers`,
        too, it is only for these of the tile, and the first one is counted among them.
        """
        start, most = registers or (0, self.layout.vectors)
        if not self.layout.is_open:
            emit(0, most)
            return
        live = held(T.max(T.min(self.live_registers(tile) - start, int64(most)), int64(0)))
        self._split(live, most, emit)

    def _split(self, live: Expr, most: int, emit: Emit) -> None:
        """Emit code for `live` registers of `most`: all of them, or a sum of powers of two.

        So there are few variants, and no register is computed that is not live.
        """
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
