"""`tvm_sparse.row_tile_map`: the tile map of an open layout of rows."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import tensor_shape
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.row_tile_map import make_row_tile_map
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import tile_map_type


@dataclass(frozen=True)
class RowTileMap(Operator, name="row_tile_map"):
    """Say of each tile of one token of each sequence which it holds."""

    layout: TokenLayout

    def __call__(self, like: Expr) -> relax.Call:
        """Return a call; `like` is anything whose first extent is the batch."""
        return self.call(like)

    def infer_type(self, *_: Expr) -> relax.TensorType:
        return tile_map_type(self.layout)

    def kernel(self, like: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        rest = tuple(size if isinstance(size, int) else 0 for size in tensor_shape(like)[1:])
        dtype = str(like.ty.dtype)
        return KernelFacts(), made(make_row_tile_map, self.layout.token_tile, rest, dtype)
