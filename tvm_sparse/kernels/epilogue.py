"""What a matrix kernel does with a finished accumulator before it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm_sparse.kernels.activations import ACTIVATIONS
from tvm_sparse.kernels.tiling import TokenLayout
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
class Epilogue:
    """The fused tail of a dense or sparse product.

    out = activation(accumulator + bias[n]) + residual[tile, n, t]

    Parameters
    ----------
    bias, residual : bool
        Whether the kernel takes that operand.
    activation : str
        A key of `ACTIVATIONS`.
    """

    bias: bool = False
    residual: bool = False
    activation: str = "none"

    @property
    def suffix(self) -> str:
        """Part of the kernel's name."""
        parts = ["bias"] * self.bias + ["residual"] * self.residual
        if self.activation != "none":
            parts.insert(int(self.bias), self.activation)
        return "".join(f"_{part}" for part in parts)

    def declare(self, units: int, out_shape: Sequence[int]) -> BoundEpilogue:
        """Declare the operands as the next arguments of the function being built."""
        return BoundEpilogue(
            self,
            argument("bias", (units,)) if self.bias else None,
            argument("residual", out_shape) if self.residual else None,
        )


@dataclass(frozen=True)
class BoundEpilogue:
    """An `Epilogue` with its buffers."""

    spec: Epilogue
    bias: Buffer | None
    residual: Buffer | None

    def store(
        self,
        out: Buffer,
        acc: Registers,
        tile: Expr,
        unit: Expr,
        rows: int,
        layout: TokenLayout,
    ) -> None:
        """Finish and store accumulators of consecutive outputs, `layout.vectors` of each.

        Parameters
        ----------
        out : Buffer, (tiles, N, T)
        acc : Registers
            Row by row.
        tile, unit : Expr
            Token tile and first output.
        rows : int
            Number of outputs.
        """
        finish_now = self.spec.activation == "none"
        for row in range(rows):
            for vector in range(layout.vectors):
                index = [tile, unit + row, vector * layout.lanes]
                value = acc[row * layout.vectors + vector]
                store(
                    out,
                    self._finish(value, index, layout.lanes) if finish_now else value,
                    index,
                    layout.lanes,
                )
        if finish_now:
            return
        # A polynomial on every accumulator at once would spill them all: a loop over what was
        # just stored, still in L1, is several times faster and a tenth of the code.
        with serial(0, rows) as row:
            for vector in range(layout.vectors):
                index = [tile, unit + row, vector * layout.lanes]
                value = load(out, index, layout.lanes)
                store(out, self._finish(value, index, layout.lanes), index, layout.lanes)

    def _finish(self, value: Expr, index: list[Expr], lanes: int) -> Expr:
        if self.bias is not None:
            value = value + broadcast(self.bias[index[1]], lanes)
        if self.spec.activation != "none":
            bind = Bind(lanes)
            value = ACTIVATIONS[self.spec.activation](bind, bind(value))
        if self.residual is not None:
            value = value + load(self.residual, index, lanes)
        return value
