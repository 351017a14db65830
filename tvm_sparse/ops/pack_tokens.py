"""`tvm_sparse.pack_tokens`: row-major data into token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import static_shape, tensor_type
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.token_layout import make_pack_tokens
from tvm_sparse.ops.operator import Expr, Operator, made


@dataclass(frozen=True)
class PackTokens(Operator, name="pack_tokens"):
    """Move row-major (batch, seq_len, F) data into token tiles (tiles, F, T)."""

    layout: TokenLayout

    def __call__(self, data: Expr) -> relax.Call:
        """Return a call."""
        return self.call(data)

    def infer_type(self, data: Expr) -> relax.TensorType:
        return tensor_type(self.layout.shape(static_shape(data)[-1]))

    def kernel(self, data: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        features = static_shape(data)[-1]
        return KernelFacts("pack_tokens"), made(make_pack_tokens, self.layout, features)
