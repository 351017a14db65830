"""The first token of each sequence, which stands for the whole of it."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.ops.first_tokens import FirstTokens
from tvm_sparse.ops.tiled import rectangle
from tvm_sparse.passes.first_tokens_only import is_first_tokens
from tvm_sparse.passes.tile_rules.rule import Rule


class FirstToken(Rule):
    """Take `x[:, :1]` out of token tiles; nothing else is moved for it."""

    def pattern(self) -> bool:
        sliced = op_name(self.value) == "relax.strided_slice"
        return sliced and self.value.args[0] in self.values.tiled

    def check(self) -> str:
        data = self.value.args[0]
        tokens = rectangle(self.values.tiled[data].layout)
        if (
            tensor_shape(data)[:-1] != tokens
            or self.values.tiled[data].features != (tensor_shape(data)[-1])
        ):
            return f"shape {tensor_shape(data)} is no (batch, tokens, features)"
        return "" if is_first_tokens(self.value) else "it takes other tokens than the first"

    def rewrite(self) -> None:
        tiled = self.values.whole(self.values.tiled[self.value.args[0]])
        take = FirstTokens(tiled.layout)(tiled.var, self.values.map_of(tiled.layout))
        batch, _ = rectangle(tiled.layout)
        rows = relax.op.reshape(self.values.emit(take), (batch, 1, tiled.features))
        self.values.rows[self.var] = self.values.emit(rows)
