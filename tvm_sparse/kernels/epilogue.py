"""What a matrix kernel does with a finished accumulator before it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm_sparse.kernels.activations import ACTIVATIONS
from tvm_sparse.kernels.vector import Bind, Buffer, Expr, argument, broadcast, load


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

    def __call__(self, value: Expr, tile: Expr, row: Expr, token: int, lanes: int) -> Expr:
        """Return the vector to store for `value`, the sum of row `row` at tokens `token`…"""
        if self.bias is not None:
            value = value + broadcast(self.bias[row], lanes)
        if self.spec.activation != "none":
            bind = Bind(lanes)
            value = ACTIVATIONS[self.spec.activation](bind, bind(value))
        if self.residual is not None:
            value = value + load(self.residual, [tile, row, token], lanes)
        return value
