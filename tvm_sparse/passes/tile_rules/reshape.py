"""Reshapes that leave tokens and features where they lie."""

from __future__ import annotations

from tvm_sparse.ir.dims import product
from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.ops.tiled import rectangle
from tvm_sparse.passes.tile_rules.rule import Rule


class Reshape(Rule):
    """Follow a reshape that only regroups features, or only merges batch and tokens."""

    def pattern(self) -> bool:
        return op_name(self.value) == "relax.reshape" and self.value.args[0] in self.values.tiled

    def check(self) -> str:
        tokens = rectangle(self.values.tiled[self.value.args[0]].layout)
        shape = tensor_shape(self.var)
        leads = (tokens, (product(tokens),))
        if any(shape[: len(lead)] == lead for lead in leads):
            return ""
        return f"shape {shape} moves between tokens and features"

    def rewrite(self) -> None:
        self.values.tiled[self.var] = self.values.tiled[self.value.args[0]]
