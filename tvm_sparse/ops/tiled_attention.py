"""`tvm_sparse.tiled_attention`: softmax attention over token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import static_shape
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.attention import make_attention
from tvm_sparse.kernels.attention_shape import UNBOUNDED, AttentionShape
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
    key_heads : int
        Heads of keys and values; 0: each head has its own.
    window : (int, int)
        See `AttentionShape`.
    reach : int
        See `AttentionShape`.
    zeroes_unseen : bool
        See `AttentionShape`.
    is_biased, to_position, from_position : bool
        Which operands there are besides a mask, see `AttentionShape`.
    """

    heads: int
    head_dim: int
    value_dim: int
    offsets: tuple[int, int, int]
    scale: float
    tile: tuple[int, int, int]
    layout: TokenLayout
    key_heads: int = 0
    window: tuple[int, int] = (UNBOUNDED, UNBOUNDED)
    reach: int = 0
    zeroes_unseen: bool = False
    is_biased: bool = False
    to_position: bool = False
    from_position: bool = False

    def __call__(
        self,
        query: Expr,
        key: Expr,
        value: Expr,
        mask: Expr | None = None,
        *others: Expr | None,
        tile_map: Expr | None = None,
    ) -> relax.Call:
        """Return a call; the mask is (1 or B, S), what follows is as the kernel takes it.

        An open layout needs its map.
        """
        return self.call(query, key, value, mask, *others, tile_map)

    def infer_type(self, *_: Expr) -> relax.TensorType:
        return tiled_type(self.layout, self.heads * self.value_dim)

    def kernel(
        self, query: Expr, key: Expr, value: Expr, *others: Expr
    ) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        # Besides these and the map there is a mask, or nothing.
        rest = self.is_biased + self.to_position + self.from_position + self.layout.is_open
        masked = len(others) > rest
        batches, heads = 0, 0
        if self.is_biased:
            extents = static_shape(others[masked])
            # A table by distance has heads first.
            batches, heads = (1, extents[0]) if self.reach else extents[:2]
        shape = AttentionShape(
            heads=self.heads,
            head_dim=self.head_dim,
            value_dim=self.value_dim,
            features=(features_of(query), features_of(key), features_of(value)),
            offsets=self.offsets,
            scale=self.scale,
            mask_batch=batch_extent(others[0]) if masked else None,
            key_heads=self.key_heads,
            bias=(batches, heads) if self.is_biased else None,
            reach=self.reach,
            window=self.window,
            zeroes_unseen=self.zeroes_unseen,
            to_position=self.to_position,
            from_position=self.from_position,
        )
        return (
            KernelFacts("attention", self.heads, self.head_dim),
            made(make_attention, self.layout, shape, *self.tile),
        )
