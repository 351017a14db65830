"""Attention over token tiles."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.kernels.tiling import attention_tile
from tvm_sparse.ops.tiled import rectangle
from tvm_sparse.ops.tiled_attention import TiledAttention
from tvm_sparse.passes.dense_chains import ATTENTION
from tvm_sparse.passes.tile_rules.rule import Rule
from tvm_sparse.passes.tiled_values import Tiled


class Attention(Rule):
    """Attend in one kernel, over the heads as they lie in the products."""

    def pattern(self) -> bool:
        return op_name(self.value) in ATTENTION

    def check(self) -> str:
        query, _, _, *mask = self.value.args
        if self.value.attrs.causal_mask is not None:
            return "the mask is causal"
        tiled = [self.values.tiled.get(arg) for arg in self.value.args[:3]]
        self.qkv = [operand for operand in tiled if operand is not None]
        if len(self.qkv) < 3:
            return "query, key or value does not lie in token tiles"
        layout = self.qkv[0].layout
        if any(operand.layout != layout for operand in self.qkv):
            return "query, key and value lie in tiles of different layouts"
        batch, seq_len, *_ = tensor_shape(query)
        tokens = rectangle(layout)
        if (batch, seq_len) != tokens:
            return f"heads of {batch}x{seq_len} tokens, tiles of {tokens[0]}x{tokens[1]}"
        self.mask = mask[0] if mask else None
        if self.mask is not None:
            first, *rest = tensor_shape(self.mask)
            if first not in (1, batch) or rest != [1, 1, seq_len]:
                return f"the mask of shape {(first, *rest)} is not one row a sequence"
        return ""

    def rewrite(self) -> None:
        query, _, value = self.value.args[:3]
        q, k, v = self.qkv
        _, seq_len, *split = tensor_shape(query)
        heads, head_dim = map(int, split)
        mask = None
        if self.mask is not None:
            rows = (tensor_shape(self.mask)[0], seq_len)
            mask = self.values.emit(relax.op.reshape(self.values.in_rows(self.mask), rows))
        value_dim = int(tensor_shape(value)[-1])
        scale = self.value.attrs.scale
        attend = TiledAttention(
            heads=heads,
            head_dim=head_dim,
            value_dim=value_dim,
            offsets=(q.offset, k.offset, v.offset),
            scale=float(scale) if scale is not None else head_dim**-0.5,
            tile=attention_tile(q.layout, self.target),
            layout=q.layout,
        )
        context = self.values.emit(attend(q.var, k.var, v.var, mask, self.values.map_of(q.layout)))
        self.values.tiled[self.var] = Tiled(context, q.layout, 0, heads * value_dim)
