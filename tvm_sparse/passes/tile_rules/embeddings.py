"""Embeddings of tokens: rows of tables, looked up and added up."""

from __future__ import annotations

from tvm_sparse.ir.expressions import tensor_shape
from tvm_sparse.ops.gather_tokens import GatherTokens
from tvm_sparse.passes.tile_rules.rule import Rule
from tvm_sparse.passes.tiled_values import Tiled


class Embeddings(Rule):
    """Look rows of tables up and add them up, straight into token tiles."""

    def pattern(self) -> bool:
        return self.var in self.walk.gathers

    def check(self) -> str:
        self.layout = self.values.layout(tensor_shape(self.var))
        return "" if self.layout else f"rows of shape {tensor_shape(self.var)} are no tokens"

    def rewrite(self) -> None:
        layout = self.layout
        assert layout is not None  # `check` refuses
        terms = [
            (self.values.in_rows(ids), self.values.weights.keep(table))
            for ids, table in self.walk.gathers[self.var].terms
        ]
        gathered = self.values.emit(GatherTokens(layout)(terms, self.values.map_of(layout)))
        self.values.tiled[self.var] = Tiled(gathered, layout, 0, int(tensor_shape(self.var)[-1]))
