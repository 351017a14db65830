"""Products with what is fused around them."""

from __future__ import annotations

from math import prod

from tvm import relax

from tvm_sparse.ir.expressions import static_shape
from tvm_sparse.kernels.tiling import (
    dense_rows,
    pays_in_parallel,
    row_panel,
    sparse_format,
    split_rows,
)
from tvm_sparse.ops.packed_dense import PackedDense
from tvm_sparse.ops.row_dense import RowDense
from tvm_sparse.ops.tiled_sparse_dense import TiledSparseDense
from tvm_sparse.passes.dense_chains import DenseChain
from tvm_sparse.passes.tile_rules.rule import Rule
from tvm_sparse.passes.tiled_values import Tiled


class RowProduct(Rule):
    """Multiply a few rows that are not in tiles, such as the first token of each sequence."""

    def pattern(self) -> bool:
        return self.var in self.walk.chains

    def check(self) -> str:
        self.chain = self.walk.chains[self.var]
        *self.lead, self.depth = static_shape(self.chain.data)
        self.units = static_shape(self.var)[-1]
        self.rows = prod(self.lead)
        self.panel = row_panel(self.rows, self.units, self.target)
        if self.chain.is_sparse:
            return "the weight is block-sparse"
        if self.chain.data in self.values.tiled:
            return "the data lie in token tiles"
        if self.panel is None:
            return f"{self.rows} rows and {self.units} outputs: vectors run over tokens"
        return ""

    def rewrite(self) -> None:
        chain, weights = self.chain, self.values.weights
        assert self.panel is not None  # `check` refuses
        product = self.values.emit(
            RowDense(self.units, self.target.lanes, chain.epilogue)(
                self._in_two_axes(chain.data, self.depth),
                weights.dense([chain], self.panel),
                weights.bias([chain]),
                None if chain.residual is None else self._in_two_axes(chain.residual, self.units),
            )
        )
        if len(self.lead) > 1:
            product = self.values.emit(relax.op.reshape(product, (*self.lead, self.units)))
        self.values.rows[self.var] = product

    def _in_two_axes(self, var: relax.Var, width: int) -> relax.Expr:
        value = self.values.in_rows(var)
        if len(self.lead) == 1:
            return value
        return self.values.emit(relax.op.reshape(value, (self.rows, width)))


class Product(Rule):
    """Multiply token tiles; products of the same data that are alike are one."""

    def pattern(self) -> bool:
        return self.var in self.walk.chains

    def rewrite(self) -> None:
        chain = self.walk.chains[self.var]
        stack = self.walk.stacks.get(self.var, [chain])
        data = self.values.in_tiles(chain.data)
        residual = None
        if chain.residual is not None:
            residual = self.values.in_tiles(chain.residual, data.layout).var
        widths = [static_shape(member.result)[-1] for member in stack]
        bias = self.values.weights.bias(stack)
        multiply = self._sparse if chain.is_sparse else self._dense
        var = self.values.emit(multiply(stack, data, sum(widths), bias, residual))
        offset = 0
        for member, width in zip(stack, widths, strict=True):
            self.values.tiled[member.result] = Tiled(var, data.layout, offset, width)
            offset += width

    def _dense(
        self,
        stack: list[DenseChain],
        data: Tiled,
        units: int,
        bias: relax.Var | None,
        residual: relax.Var | None,
    ) -> relax.Call:
        rows = dense_rows(data.layout, self.target, (units, data.features))
        weight = self.values.weights.dense(stack, rows)
        multiply = PackedDense(units, stack[0].epilogue, data.layout)
        return multiply(data.var, weight, bias, residual)

    def _sparse(
        self,
        stack: list[DenseChain],
        data: Tiled,
        units: int,
        bias: relax.Var | None,
        residual: relax.Var | None,
    ) -> relax.Call:
        layout = data.layout
        nnzb = sum(static_shape(member.weight[0])[0] for member in stack)
        _, bs_r, bs_c = static_shape(stack[0].weight[0])
        num_blocks = (units // bs_r, data.features // bs_c)
        density = nnzb / prod(num_blocks)
        wanted = sparse_format(num_blocks, (bs_r, bs_c), density, layout, self.target)
        weight, form = self.values.weights.sparse(stack, num_blocks[1], wanted)
        rows = split_rows(layout, self.target)
        pays = pays_in_parallel(2.0 * layout.batch * layout.seq_len * nnzb * bs_r * bs_c)
        multiply = TiledSparseDense(rows, stack[0].epilogue, layout, form, pays)
        return multiply(data.var, weight, bias, residual)
