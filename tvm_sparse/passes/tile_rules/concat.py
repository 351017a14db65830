"""Features of tokens behind one another."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.ops.tiled import rectangle
from tvm_sparse.passes.tile_rules.rule import Rule
from tvm_sparse.passes.tiled_values import Tiled


class FeatureConcat(Rule):
    """Put the features of several values in token tiles behind one another, or their heads."""

    def pattern(self) -> bool:
        if op_name(self.value) != "relax.concat" or not hasattr(self.value.args[0], "fields"):
            return False
        self.parts = list(self.value.args[0].fields)
        is_of_features = int(self.value.attrs.axis) % len(tensor_shape(self.var)) == 2
        return is_of_features and all(part in self.values.tiled for part in self.parts)

    def check(self) -> str:
        tiled = [self.values.tiled[part] for part in self.parts]
        tokens = tensor_shape(self.var)[:2]
        if len({one.layout for one in tiled}) > 1 or tokens != rectangle(tiled[0].layout):
            return "the parts do not lie in tiles of one layout"
        return ""

    def rewrite(self) -> None:
        whole = [self.values.whole(self.values.tiled[part]) for part in self.parts]
        var = self.values.emit(relax.op.concat([one.var for one in whole], axis=1))
        features = sum(one.features for one in whole)
        self.values.tiled[self.var] = Tiled(var, whole[0].layout, 0, features)
