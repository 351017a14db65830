"""`tvm_sparse.gated_unit`: activation(gate) * up over token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.gated_unit import make_gated_unit
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import features_of, tiled_type


@dataclass(frozen=True)
class GatedUnit(Operator, name="gated_unit"):
    """Multiply `units` features by the activation of as many others.

    `offsets` are the first features of gate and up in their tensors, which may be one.
    """

    units: int
    activation: str
    offsets: tuple[int, int]
    layout: TokenLayout

    def __call__(self, gate: Expr, up: Expr, tile_map: Expr | None = None) -> relax.Call:
        """Return a call; an open layout needs its map."""
        return self.call(gate, up, tile_map)

    def infer_type(self, *_: Expr) -> relax.TensorType:
        return tiled_type(self.layout, self.units)

    def kernel(self, gate: Expr, up: Expr, *_: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        of_gate, of_up = self.offsets
        return (
            KernelFacts("gated_unit", self.units, epilogue=Epilogue(activation=self.activation)),
            made(
                make_gated_unit,
                *(self.layout, self.units, self.activation),
                *((of_gate, features_of(gate)), (of_up, features_of(up))),
            ),
        )
