"""`tvm_sparse.unpack_tokens`: token tiles back to row-major data."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import static_shape, tensor_type
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.token_layout import make_unpack_tokens
from tvm_sparse.ops.operator import Expr, Operator, made


@dataclass(frozen=True)
class UnpackTokens(Operator, name="unpack_tokens"):
    """Move token tiles (tiles, F, T) back to row-major (batch, seq_len, F)."""

    layout: TokenLayout

    def __call__(self, data: Expr) -> relax.Call:
        """Return a call."""
        return self.call(data)

    def infer_type(self, data: Expr) -> relax.TensorType:
        return tensor_type([self.layout.batch, self.layout.seq_len, static_shape(data)[1]])

    def kernel(self, data: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        features = static_shape(data)[1]
        return KernelFacts("unpack_tokens"), made(make_unpack_tokens, self.layout, features)
