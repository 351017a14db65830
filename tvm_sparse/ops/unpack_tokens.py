"""`tvm_sparse.unpack_tokens`: token tiles back to row-major data."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import tensor_type
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.token_layout import make_unpack_tokens
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import features_of, rectangle


@dataclass(frozen=True)
class UnpackTokens(Operator, name="unpack_tokens"):
    """Move token tiles (tiles, F, T) back to row-major (batch, seq_len, F).

    Of an open layout, rows past a shorter sequence are zero.
    """

    layout: TokenLayout

    def __call__(self, data: Expr, tile_map: Expr | None = None) -> relax.Call:
        """Return a call; an open layout needs its tile map."""
        return self.call(data, tile_map)

    def infer_type(self, data: Expr, *_: Expr) -> relax.TensorType:
        return tensor_type([*rectangle(self.layout), features_of(data)])

    def kernel(self, data: Expr, *_: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        features = features_of(data)
        return KernelFacts("unpack_tokens"), made(make_unpack_tokens, self.layout, features)
