"""`tvm_sparse.tiled_rotation`: rotary position embedding of heads in token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import static_shape
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.rotation import RotationShape, make_rotation
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import features_of, tiled_type


@dataclass(frozen=True)
class TiledRotation(Operator, name="tiled_rotation"):
    """Turn pairs of features of so many heads, from feature `offset` on, by their token's angle.

    `interleaved` and `shared` are those of `RotationShape`.
    """

    heads: int
    offset: int
    interleaved: bool
    shared: bool
    layout: TokenLayout

    def __call__(
        self, data: Expr, cos: Expr, sin: Expr, tile_map: Expr | None = None
    ) -> relax.Call:
        """Return a call; cos and sin are in tiles too. An open layout needs its map."""
        return self.call(data, cos, sin, tile_map)

    def infer_type(self, data: Expr, cos: Expr, *_: Expr) -> relax.TensorType:
        return tiled_type(self.layout, self.heads * features_of(cos))

    def kernel(self, data: Expr, cos: Expr, *_: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        head_dim = features_of(cos)
        shape = RotationShape(
            *(self.heads, head_dim, self.offset, features_of(data)),
            *(self.interleaved, self.shared),
            reach=static_shape(cos)[0] if self.shared else 0,
        )
        return (
            KernelFacts("rotation", self.heads, head_dim),
            made(make_rotation, self.layout, shape),
        )
