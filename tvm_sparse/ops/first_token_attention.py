"""`tvm_sparse.first_token_attention`: attention of first tokens over keys in token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import tensor_type
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.first_token_attention import FirstTokenHeads, make_first_token_attention
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import batch_extent, features_of, rectangle


@dataclass(frozen=True)
class FirstTokenAttention(Operator, name="first_token_attention"):
    """Attend from the first token of each sequence.

    Attributes
    ----------
    heads, head_dim, value_dim : int
        Number of heads, features of a query/key and of a value per head.
    offsets : (int, int)
        First feature of key and value in their tensors.
    scale : float
        Factor on the scores.
    layout : TokenLayout
        Of key and value.
    """

    heads: int
    head_dim: int
    value_dim: int
    offsets: tuple[int, int]
    scale: float
    layout: TokenLayout

    def __call__(
        self,
        query: Expr,
        key: Expr,
        value: Expr,
        mask: Expr | None = None,
        tile_map: Expr | None = None,
    ) -> relax.Call:
        """Return a call; query is (B, heads * head_dim), the mask (1 or B, S).

        An open layout needs its map.
        """
        return self.call(query, key, value, mask, tile_map)

    def infer_type(self, *_: Expr) -> relax.TensorType:
        return tensor_type([rectangle(self.layout)[0], self.heads * self.value_dim])

    def kernel(
        self, _query: Expr, key: Expr, value: Expr, *others: Expr
    ) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        # Besides the map there is a mask, or nothing.
        masked = len(others) > self.layout.is_open
        shape = FirstTokenHeads(
            heads=self.heads,
            head_dim=self.head_dim,
            value_dim=self.value_dim,
            features=(features_of(key), features_of(value)),
            offsets=self.offsets,
            scale=self.scale,
            mask_batch=batch_extent(others[0]) if masked else None,
        )
        return (
            KernelFacts("first_token_attention", self.heads, self.head_dim),
            made(make_first_token_attention, self.layout, shape),
        )
