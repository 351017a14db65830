"""Convolutions along the tokens of sequences, in token tiles."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.ir.expressions import tensor_shape
from tvm_sparse.ops.tiled import rectangle
from tvm_sparse.ops.token_window import TokenWindow
from tvm_sparse.passes.tile_rules.rule import Rule
from tvm_sparse.passes.tiled_values import Tiled


class SumOfNeighbours(Rule):
    """Sum each feature over the tokens around, as they lie in their product."""

    def pattern(self) -> bool:
        return self.var in self.walk.sums

    def check(self) -> str:
        self.sum = self.walk.sums[self.var]
        tiled = self.values.tiled.get(self.sum.data)
        shape = tensor_shape(self.sum.data)
        layout = self.values.layout(shape) if tiled is None else tiled.layout
        if layout is None or layout.is_open or shape[:2] != rectangle(layout):
            return f"the data of shape {shape} have no tiles of one shape"
        reach = max(self.sum.before, self.sum.taps - 1 - self.sum.before)
        if reach > layout.lanes:
            return f"{reach} tokens to one side are more than the {layout.lanes} of a register"
        self.layout = layout
        return ""

    def rewrite(self) -> None:
        one, layout = self.sum, self.layout
        data = self._in_tiles(one.data)
        features, groups, weights_offset = data.features, 0, 0
        if one.weight is not None:
            name, rows = one.weight
            weights = self.values.weights.computed([name], "rows", rows)
        else:
            logits = self._in_tiles(one.logits)
            weights, weights_offset = logits.var, logits.offset
            groups = logits.features // one.taps
        total = TokenWindow(
            *(features, data.offset, one.taps, one.before, groups, weights_offset, layout)
        )
        var = self.values.emit(total(data.var, weights))
        self.values.tiled[self.var] = Tiled(var, layout, 0, features)

    def _in_tiles(self, var: relax.Var) -> Tiled:
        """Return where a value lies, as it is if it is in tiles already."""
        tiled = self.values.tiled.get(var)
        if tiled is not None and tiled.layout == self.layout:
            return tiled
        return self.values.in_tiles(var, self.layout)
