"""What a matrix kernel does with a finished accumulator before it is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.activations import ACTIVATIONS
from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.vector import (
    Bind,
    Buffer,
    Expr,
    Registers,
    argument,
    broadcast,
    load,
    number,
    serial,
    store,
)


@dataclass(frozen=True)
class SharedEpilogue(Epilogue):
    """That of products with an activation and of those without, on an open layout.

    Each call says which it is with an argument, `activates`, 1 or 0. There is no residual.
    """


@dataclass(frozen=True)
class BoundEpilogue:
    """An `Epilogue` with its buffers.

    If `bias_begins`, sums begin with the bias, and it is not added to them in the end. `activates`
    is that of a `SharedEpilogue`.
    """

    spec: Epilogue
    tiles: TokenTiles
    bias: Buffer | None
    residual: Buffer | None
    bias_begins: bool = False
    activates: Expr | None = None

    @classmethod
    def declare(
        cls, spec: Epilogue, units: int, tiles: TokenTiles, bias_begins: bool = False
    ) -> BoundEpilogue:
        """Declare the operands as the next arguments of the function being built."""
        return cls(
            spec,
            tiles,
            argument("bias", (units,)) if spec.bias else None,
            argument("residual", tiles.shape(units)) if spec.residual else None,
            bias_begins,
            number("activates") if isinstance(spec, SharedEpilogue) else None,
        )

    def begin(self, acc: Registers, places: Sequence[Sequence[Expr]]) -> None:
        """Set sums, of outputs at these places, to what they begin with if `bias_begins`."""
        for index, (_, unit, _) in enumerate(places):
            value = 0.0 if self.bias is None else self.bias[unit]
            acc[index] = broadcast(value, self.tiles.layout.lanes)

    @property
    def is_store(self) -> bool:
        """Whether `store` does nothing but store."""
        has_nothing = self.residual is None and (self.bias is None or self.bias_begins)
        return has_nothing or (self.in_second_loop and self.activates is None)

    def store(
        self,
        out: Buffer,
        products: Sequence[Expr],
        places: Sequence[Sequence[Expr]],
        lanes: int | None = None,
    ) -> None:
        """Store products in out (tiles, N, T), at the (tile, unit, token) of their first lanes.

        They have so many lanes, or those of the layout. Without an activation they are finished on
        the way. With one, `finish` must follow; one that calls have or leave out is all it does.
        """
        lanes = lanes or self.tiles.layout.lanes
        for value, place in zip(products, places, strict=True):
            if self.activates is not None:
                value = self._biased(value, place, lanes)
            elif not self.in_second_loop:
                value = self.finished(value, place, lanes)
            store(out, value, place, lanes)

    @property
    def in_second_loop(self) -> bool:
        """Whether rows are finished in a loop of their own.

        An activation is a polynomial with a score of constants. Next to the accumulators, whether
        on them or in a loop right behind theirs, it makes LLVM keep them on the stack; a loop over
        what was stored, still in cache, costs nothing in comparison.
        """
        return self.spec.activation != "none"

    def finish(
        self,
        out: Buffer,
        tile: Expr,
        units: tuple[Expr, Expr],
        registers: int | Expr,
    ) -> None:
        """Finish the stored rows of so many registers from a tile on in a loop of their own.

        Units are the first and the end of them.
        """
        if not self.in_second_loop:
            return
        lanes = self.tiles.layout.lanes
        if self.activates is not None:
            registers = self.tiles.held(registers * self.activates)
        for index in self._each(tile, units, registers):
            value = load(out, index, lanes)
            if self.activates is None:
                value = self.finished(value, index, lanes)
            else:
                value = self._activated(value, lanes)
            store(out, value, index, lanes)

    def finished(self, value: Expr, index: Sequence[Expr], lanes: int) -> Expr:
        """Return what becomes of so many lanes of a product at a (tile, unit, token)."""
        value = self._activated(self._biased(value, index, lanes), lanes)
        if self.residual is not None:
            value = value + load(self.residual, index, lanes)
        return value

    def _biased(self, value: Expr, index: Sequence[Expr], lanes: int) -> Expr:
        if self.bias is None or self.bias_begins:
            return value
        return value + broadcast(self.bias[index[1]], lanes)

    def _activated(self, value: Expr, lanes: int) -> Expr:
        if self.spec.activation == "none":
            return value
        bind = Bind(lanes)
        return ACTIVATIONS[self.spec.activation](bind, bind(value))

    def _each(
        self, tile: Expr, units: tuple[Expr, Expr], registers: int | Expr
    ) -> Iterator[list[Expr]]:
        """Loop over rows, and over registers of each."""
        if self.tiles.layout.is_open:
            with serial(0, registers) as vector, serial(*units) as unit:
                yield self.tiles.place(self.tiles.held(tile + vector), unit, 0)
            return
        with serial(*units) as unit:
            for vector in range(registers):
                yield self.tiles.place(tile, unit, vector)
