"""Attention of first tokens over keys in token tiles."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.ops.first_token_attention import FirstTokenAttention as Operator
from tvm_sparse.ops.tiled import rectangle
from tvm_sparse.passes.dense_chains import ATTENTION
from tvm_sparse.passes.tile_rules.rule import Rule


class FirstTokenAttention(Rule):
    """Attend from one token a sequence; query and result are row-major."""

    def pattern(self) -> bool:
        if op_name(self.value) not in ATTENTION:
            return False
        query, key = (tensor_shape(arg) for arg in self.value.args[:2])
        return query[1] == 1 != key[1]

    def check(self) -> str:
        query, key, value, *mask = (tensor_shape(arg) for arg in self.value.args)
        tiled = [self.values.tiled.get(arg) for arg in self.value.args[1:3]]
        self.key_value = [operand for operand in tiled if operand is not None]
        if len(self.key_value) < 2 or self.key_value[0].layout != self.key_value[1].layout:
            return "key and value do not lie in the same token tiles"
        if tuple(key[:2]) != rectangle(self.key_value[0].layout):
            return f"keys of {key[0]}x{key[1]} tokens lie in other tiles"
        if not query[2] == key[2] == value[2]:
            return f"{query[2]} heads of queries, {key[2]} of keys"
        if self.value.attrs.causal_mask is not None:
            return "the mask is causal"
        if mask and (mask[0][0] not in (1, key[0]) or tuple(mask[0][1:]) != (1, 1, key[1])):
            return f"the mask of shape {mask[0]} is not one row a sequence"
        return ""

    def rewrite(self) -> None:
        query, _, value, *masks = self.value.args
        batch, _, heads, head_dim = tensor_shape(query)
        value_dim = int(tensor_shape(value)[-1])
        key_tiles, value_tiles = self.key_value
        layout, scale = key_tiles.layout, self.value.attrs.scale
        attend = Operator(
            heads=int(heads),
            head_dim=int(head_dim),
            value_dim=value_dim,
            offsets=(key_tiles.offset, value_tiles.offset),
            scale=float(scale) if scale is not None else int(head_dim) ** -0.5,
            layout=layout,
        )
        rows = self._reshaped(self.values.in_rows(query), (batch, int(heads) * int(head_dim)))
        mask = None
        if masks:
            whole = self.values.in_rows(masks[0])
            mask = self._reshaped(whole, (tensor_shape(masks[0])[0], tensor_shape(masks[0])[-1]))
        tile_map = self.values.map_of(layout)
        context = self.values.emit(attend(rows, key_tiles.var, value_tiles.var, mask, tile_map))
        self.values.rows[self.var] = self._reshaped(context, tensor_shape(self.var))

    def _reshaped(self, value: relax.Expr, shape: tuple[object, ...]) -> relax.Var:
        return self.values.emit(relax.op.reshape(value, shape))
