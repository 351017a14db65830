"""`tvm_sparse.tiled_attention`: softmax attention over token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import static_shape, tensor_type
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.attention import AttentionShape, make_attention
from tvm_sparse.ops.operator import Expr, Operator, made


@dataclass(frozen=True)
class TiledAttention(Operator, name="tiled_attention"):
    """Attend over token tiles.

    Attributes
    ----------
    heads, head_dim, value_dim : int
        Number of heads, features of a query/key and of a value per head.
    offsets : (int, int, int)
        First feature of query, key and value in their tensors.
    scale : float
        Factor on the scores.
    tile : (int, int, int)
        Vectors of queries and rows taken together, and shares, as `tiling.attention_tile` chooses
        them.
    layout : TokenLayout
        Of all operands and of the result.
    """

    heads: int
    head_dim: int
    value_dim: int
    offsets: tuple[int, int, int]
    scale: float
    tile: tuple[int, int, int]
    layout: TokenLayout

    def __call__(self, query: Expr, key: Expr, value: Expr, mask: Expr | None = None) -> relax.Call:
        """Return a call; the mask is (1 or B, S)."""
        return self.call(query, key, value, mask)

    def infer_type(self, *_: Expr) -> relax.TensorType:
        return tensor_type(self.layout.shape(self.heads * self.value_dim))

    def kernel(
        self, query: Expr, key: Expr, value: Expr, mask: Expr | None = None
    ) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        shape = AttentionShape(
            heads=self.heads,
            head_dim=self.head_dim,
            value_dim=self.value_dim,
            features=(static_shape(query)[1], static_shape(key)[1], static_shape(value)[1]),
            offsets=self.offsets,
            scale=self.scale,
            mask_batch=None if mask is None else static_shape(mask)[0],
        )
        return (
            KernelFacts("attention", self.heads, self.head_dim),
            made(make_attention, self.layout, shape, *self.tile),
        )
