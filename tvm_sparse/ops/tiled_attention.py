"""`tvm_sparse.tiled_attention`: softmax attention over token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.attention import AttentionShape, make_attention
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import batch_extent, features_of, tiled_type


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

    def __call__(
        self,
        query: Expr,
        key: Expr,
        value: Expr,
        mask: Expr | None = None,
        tile_map: Expr | None = None,
    ) -> relax.Call:
        """Return a call; the mask is (1 or B, S). An open layout needs its map."""
        return self.call(query, key, value, mask, tile_map)

    def infer_type(self, *_: Expr) -> relax.TensorType:
        return tiled_type(self.layout, self.heads * self.value_dim)

    def kernel(
        self, query: Expr, key: Expr, value: Expr, *others: Expr
    ) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        # Besides the map there is a mask, or nothing.
        masked = len(others) > self.layout.is_open
        shape = AttentionShape(
            heads=self.heads,
            head_dim=self.head_dim,
            value_dim=self.value_dim,
            features=(features_of(query), features_of(key), features_of(value)),
            offsets=self.offsets,
            scale=self.scale,
            mask_batch=batch_extent(others[0]) if masked else None,
        )
        return (
            KernelFacts("attention", self.heads, self.head_dim),
            made(make_attention, self.layout, shape, *self.tile),
        )
