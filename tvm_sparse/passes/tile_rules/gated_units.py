"""Gated units over what products leave in token tiles."""

from __future__ import annotations

from tvm_sparse.ops.gated_unit import GatedUnit
from tvm_sparse.passes.tile_rules.rule import Rule
from tvm_sparse.passes.tiled_values import Tiled


class Gated(Rule):
    """Multiply by the activation of other features, both as they lie in their products."""

    def pattern(self) -> bool:
        return self.var in self.walk.gated

    def check(self) -> str:
        pair = self.walk.gated[self.var]
        operands = [self.values.tiled.get(var) for var in (pair.gate, pair.up)]
        self.operands = [operand for operand in operands if operand is not None]
        if len(self.operands) < 2 or self.operands[0].layout != self.operands[1].layout:
            return "both parts do not lie in tiles of one layout"
        return ""

    def rewrite(self) -> None:
        gate, up = self.operands
        unit = GatedUnit(
            units=gate.features,
            activation=self.walk.gated[self.var].activation,
            offsets=(gate.offset, up.offset),
            layout=gate.layout,
        )
        var = self.values.emit(unit(gate.var, up.var, self.values.map_of(gate.layout)))
        self.values.tiled[self.var] = Tiled(var, gate.layout, 0, gate.features)
