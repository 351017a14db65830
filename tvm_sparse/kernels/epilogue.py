"""What a matrix kernel does with a finished accumulator before it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.activations import ACTIVATIONS
from tvm_sparse.kernels.vector import (
    Bind,
    Buffer,
    Expr,
    Registers,
    argument,
    broadcast,
    load,
    serial,
    store,
)


@dataclass(frozen=True)
class BoundEpilogue:
    """An `Epilogue` with its buffers."""

    spec: Epilogue
    bias: Buffer | None
    residual: Buffer | None

    @classmethod
    def declare(cls, spec: Epilogue, units: int, out_shape: Sequence[int]) -> BoundEpilogue:
        """Declare the operands as the next arguments of the function being built."""
        return cls(
            spec,
            argument("bias", (units,)) if spec.bias else None,
            argument("residual", out_shape) if spec.residual else None,
        )

    def store(self, out: Buffer, acc: Registers, places: Sequence[Sequence[Expr]]) -> None:
        """Store accumulators in out (tiles, N, T), at the (tile, unit, token) of their first lanes.

        Without an activation they are finished on the way. With one, `finish` must follow.
        """
        for index, place in enumerate(places):
            value = acc[index]
            if not self.in_second_loop:
                value = self._finish(value, place, acc.lanes)
            store(out, value, place, acc.lanes)

    @property
    def in_second_loop(self) -> bool:
        """Whether rows are finished in a loop of their own.

        An activation is a polynomial with a score of constants. Next to the accumulators, whether
        on them or in a loop right behind theirs, it makes LLVM keep them on the stack; a loop over
        what was stored, still in cache, costs nothing in comparison.
        """
        return self.spec.activation != "none"

    def finish(
        self, out: Buffer, tile: Expr, first_unit: Expr, stop_unit: Expr, layout: TokenLayout
    ) -> None:
        """Finish the stored rows [first_unit, stop_unit) of a tile in a loop of their own."""
        if not self.in_second_loop:
            return
        with serial(first_unit, stop_unit) as unit:
            for vector in range(layout.vectors):
                index = [tile, unit, vector * layout.lanes]
                value = load(out, index, layout.lanes)
                store(out, self._finish(value, index, layout.lanes), index, layout.lanes)

    def _finish(self, value: Expr, index: Sequence[Expr], lanes: int) -> Expr:
        if self.bias is not None:
            value = value + broadcast(self.bias[index[1]], lanes)
        if self.spec.activation != "none":
            bind = Bind(lanes)
            value = ACTIVATIONS[self.spec.activation](bind, bind(value))
        if self.residual is not None:
            value = value + load(self.residual, index, lanes)
        return value
