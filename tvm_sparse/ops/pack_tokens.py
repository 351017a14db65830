"""`tvm_sparse.pack_tokens`: row-major data into token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import tensor_shape
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.token_layout import make_pack_tokens
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import tiled_type


@dataclass(frozen=True)
class PackTokens(Operator, name="pack_tokens"):
    """Move row-major (batch, seq_len, F) data into token tiles (tiles, F, T)."""

    layout: TokenLayout

    def __call__(self, data: Expr, tile_map: Expr | None = None) -> relax.Call:
        """Return a call; an open layout needs its tile map."""
        return self.call(data, tile_map)

    def infer_type(self, data: Expr, *_: Expr) -> relax.TensorType:
        return tiled_type(self.layout, int(tensor_shape(data)[-1]))

    def kernel(self, data: Expr, *_: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        features = int(tensor_shape(data)[-1])
        return KernelFacts("pack_tokens"), made(make_pack_tokens, self.layout, features)
