"""`tvm_sparse.first_tokens`: the first token of every sequence, out of token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import tensor_type
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.first_tokens import make_first_tokens
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import features_of, rectangle


@dataclass(frozen=True)
class FirstTokens(Operator, name="first_tokens"):
    """Move the first tokens out of token tiles (tiles, F, T) to rows (batch, F)."""

    layout: TokenLayout

    def __call__(self, data: Expr, tile_map: Expr | None = None) -> relax.Call:
        """Return a call; an open layout needs its tile map."""
        return self.call(data, tile_map)

    def infer_type(self, data: Expr, *_: Expr) -> relax.TensorType:
        return tensor_type([rectangle(self.layout)[0], features_of(data)])

    def kernel(self, data: Expr, *_: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        return KernelFacts("first_tokens"), made(make_first_tokens, self.layout, features_of(data))
