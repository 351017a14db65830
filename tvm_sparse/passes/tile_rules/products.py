"""Products with what is fused around them."""

from __future__ import annotations

from dataclasses import replace

from tvm import relax

from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.registry import unrounded, weights_of, widened
from tvm_sparse.formats.weight_format import ProductShape, WeightFormat
from tvm_sparse.ir.dims import product
from tvm_sparse.ir.expressions import op_name, static_shape, tensor_shape
from tvm_sparse.kernels.tiling import row_panel
from tvm_sparse.ops.registry import product_operator
from tvm_sparse.ops.row_dense import RowDense
from tvm_sparse.passes.dense_chains import DenseChain
from tvm_sparse.passes.packed_weights import base_name
from tvm_sparse.passes.tile_rules.rule import Rule
from tvm_sparse.passes.tiled_values import Tiled


class RowProduct(Rule):
    """Multiply a few rows that are not in tiles, such as the first token of each sequence."""

    def pattern(self) -> bool:
        return self.var in self.walk.chains

    def check(self) -> str:
        self.chain = self.walk.chains[self.var]
        *self.lead, depth = tensor_shape(self.chain.data)
        self.depth, self.units = int(depth), int(tensor_shape(self.var)[-1])
        self.rows = product(self.lead)
        self.panel = row_panel(
            self.rows if isinstance(self.rows, int) else 0, self.units, self.target
        )
        self.weights = weights_of(self.walk.build, self.chain.is_sparse)
        layout = self.values.layout(tensor_shape(self.chain.data))
        if layout is not None and layout.is_open and not layout.of_rows:
            return "the rows are the tokens"
        # Few rows read a weight once: what is read counts, and rounding them would be another pass.
        if unrounded(self.weights) is not DenseFormat:
            return f"the weight is {self.weights.name}"
        tiled = self.values.tiled.get(self.chain.data)
        if tiled is not None and not tiled.layout.of_rows:
            return "the data lie in token tiles"
        if self.panel is None:
            return f"{self.rows} rows and {self.units} outputs: vectors run over tokens"
        return ""

    def rewrite(self) -> None:
        chain, weights = self.chain, self.values.weights
        assert self.panel is not None  # `check` refuses
        data, residual = self._in_two_axes(chain.data, self.depth), None
        (weight,), _ = weights.packed([chain], DenseFormat(self.panel))
        bias = weights.bias([chain])
        if self.weights is not DenseFormat:
            self.walk.note([chain], DenseFormat, "few rows")
        if chain.residual is not None:
            residual = self._in_two_axes(chain.residual, self.units)
        multiply = RowDense(self.units, self.target.lanes(), chain.epilogue)
        product = self.values.emit(multiply(data, weight, bias, residual))
        if len(self.lead) > 1:
            product = self.values.emit(relax.op.reshape(product, (*self.lead, self.units)))
        self.values.rows[self.var] = product

    def _in_two_axes(self, var: relax.Var, width: int) -> relax.Expr:
        value = self.values.in_rows(var)
        if len(self.lead) == 1:
            return value
        return self.values.emit(relax.op.reshape(value, (self.rows, width)))


class TiledProduct(Rule):
    """Multiply token tiles; products of the same data that are alike are one."""

    def pattern(self) -> bool:
        return self.var in self.walk.chains

    def check(self) -> str:
        data = self.walk.chains[self.var].data
        if data in self.values.tiled or self.values.layout(tensor_shape(data)):
            return ""
        return f"rows of shape {tensor_shape(data)} are no tokens"

    def rewrite(self) -> None:
        chain = self.walk.chains[self.var]
        stack = self.walk.stacks.get(self.var, [chain])
        data = self.values.in_tiles(chain.data)
        residual = None
        if chain.residual is not None:
            residual = self.values.in_tiles(chain.residual, data.layout).var
        tile_map = self.values.map_of(data.layout)
        widths = [int(tensor_shape(member.result)[-1]) for member in stack]
        shape = ProductShape(sum(widths), data.features, data.layout)
        if chain.is_sparse:
            shape = _with_blocks(shape, stack)
        weights, reason = self._weights(shape, stack)
        self.walk.note(stack, weights, reason)
        bias = self.values.weights.bias(stack)
        weight, form = self.values.weights.packed(stack, weights.choose(shape, self.target))
        operator = product_operator(weights)
        multiply = operator.choose(shape, chain.epilogue, form, self.target)
        activates = None
        if multiply.takes_any_size and (activation := self._shared_activation()):
            epilogue = replace(chain.epilogue, activation=activation)
            multiply = replace(multiply, epilogue=epilogue)
            activates = chain.activation != "none"
        tokens = self._words(chain.data, data) if operator.takes_words else data.var
        var = self.values.emit(multiply(tokens, weight, bias, residual, tile_map, activates))
        offset = 0
        for member, width in zip(stack, widths, strict=True):
            self.values.tiled[member.result] = Tiled(var, data.layout, offset, width)
            offset += width

    def _shared_activation(self) -> str:
        """Return the activation of products that are like this one but for it.

        One kernel serves those with it and those without. Empty if this has another one.
        """

        def rest(chain: DenseChain) -> tuple[object, ...]:
            rank = len(tensor_shape(chain.data))
            return chain.is_sparse, chain.bias is None, chain.residual is None, rank

        chain = self.walk.chains[self.var]
        if chain.residual is not None:
            return ""
        others = (other for other in self.walk.chains.values() if other.activation != "none")
        shared = next((other.activation for other in others if rest(other) == rest(chain)), "")
        return shared if chain.activation in ("none", shared) else ""

    def _words(self, data: relax.Var, tiled: Tiled) -> relax.Var:
        """Return the words of what is multiplied; factors of its features are taken along."""
        value = self.walk.uses.value.get(data)
        if value is not None and op_name(value) == "relax.multiply":
            source, factors = value.args
            is_vector = factors in self.walk.weights and len(tensor_shape(factors)) == 1
            if is_vector and tensor_shape(source) == tensor_shape(data):
                whole = self.values.in_tiles(source, tiled.layout, tiled.features)
                return self.values.in_words(whole, factors)
        return self.values.in_words(tiled)

    def _weights(
        self, shape: ProductShape, stack: list[DenseChain]
    ) -> tuple[type[WeightFormat], str]:
        """Return the format of the weights, and why it is not the one that the build asks for."""
        build, is_sparse = self.walk.build, stack[0].is_sparse
        wanted = weights_of(build, is_sparse)
        if wanted.unrounded is None:
            return wanted, ""
        names = [base_name(chain.weight[0].name) for chain in stack]
        kept, wide = (
            next((reasons[name] for name in names if name in reasons), "")
            for reasons in (dict(build.kept), dict(build.wide))
        )
        if reason := kept or wanted.refusal(shape):
            return unrounded(wanted), reason
        return (weights_of(widened(build), is_sparse) if wide else wanted), wide


def _with_blocks(shape: ProductShape, stack: list[DenseChain]) -> ProductShape:
    """Return a shape with the blocks of its weights."""
    nnzb = sum(static_shape(member.weight[0])[0] for member in stack)
    _, bs_r, bs_c = static_shape(stack[0].weight[0])
    num_blocks = (shape.units // bs_r) * (shape.depth // bs_c)
    return replace(shape, block_shape=(bs_r, bs_c), density=nnzb / num_blocks)
