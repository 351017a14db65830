"""Move the encoder onto token tiles, fuse around its products, and pack the weights.

Everything that works on (batch, seq_len, features) token by token is rewritten to the tiled
layout: products with bias, activation and residual in one kernel, attention in one kernel, layer
norms, element-wise operations. Products of the same data are stacked (Q, K and V become one).
Whatever else the graph holds stays row-major, and the pass converts at the border.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.ir.expressions import op_name, static_shape
from tvm_sparse.ir.functions import Uses, bindings, main_function, with_main
from tvm_sparse.kernels.packed_bsr import SparseFormat
from tvm_sparse.kernels.tiling import (
    attention_tile,
    choose_layout,
    dense_rows,
    norm_vectors,
    pays_in_parallel,
    row_panel,
    sparse_format,
    split_rows,
)
from tvm_sparse.ops.gather_tokens import GatherTokens
from tvm_sparse.ops.packed_dense import PackedDense
from tvm_sparse.ops.row_dense import RowDense
from tvm_sparse.ops.tiled_attention import TiledAttention
from tvm_sparse.ops.tiled_layer_norm import TiledLayerNorm
from tvm_sparse.ops.tiled_sparse_dense import TiledSparseDense
from tvm_sparse.passes.dense_chains import ATTENTION, DenseChain, find_dense_chains, find_stacks
from tvm_sparse.passes.packed_weights import PackedWeights
from tvm_sparse.passes.tiled_values import Tiled, TiledValues
from tvm_sparse.passes.token_gathers import TokenGather, find_token_gathers
from tvm_sparse.target import CpuTarget

_UNARY = {
    f"relax.{name}"
    for name in ("nn.relu", "nn.gelu", "nn.gelu_tanh", "nn.silu", "tanh", "sigmoid", "negative")
}
_BINARY = {f"relax.{name}" for name in ("add", "subtract", "multiply", "divide", "maximum")}


def convert(
    mod: tvm.IRModule,
    params: Mapping[str, np.ndarray],
    target: CpuTarget,
    block_rows: int = 0,
) -> tuple[tvm.IRModule, dict[str, np.ndarray]]:
    """Rewrite `main` to token tiles.

    Parameters
    ----------
    mod : IRModule
        After `simplify_fc_transpose` and `bsr_dense`; not changed.
    params : mapping of str to ndarray
        Weights by parameter name; not changed.
    target : CpuTarget
        The CPU the tiles are chosen for.
    block_rows : int
        `bs_r` of the sparse layers; 0 for a dense build.

    Returns
    -------
    mod : IRModule
    params : dict of str to ndarray
        The weights as the kernels read them.

    Raises
    ------
    PassError
        If the module has no function `main` or a shape is not static.
    """
    func = main_function(mod)
    tiler = _Tiler(func, params, target, block_rows)
    return with_main(mod, tiler.run()), tiler.weights.values


class _Tiler:
    def __init__(
        self,
        func: relax.Function,
        params: Mapping[str, np.ndarray],
        target: CpuTarget,
        block_rows: int,
    ) -> None:
        self.func, self.target = func, target
        self.bb = relax.BlockBuilder()
        self.weights = PackedWeights(params)
        self.weight_vars = {var for var in func.params if var.name in params}
        self.inputs = [var for var in func.params if var.name not in params]
        self.uses = Uses(func)
        self.chains = find_dense_chains(func, self.uses, self.weight_vars)
        self.gathers = find_token_gathers(func, self.uses, self.weight_vars)
        merged: list[DenseChain | TokenGather] = [*self.chains.values(), *self.gathers.values()]
        self.inner = {var for group in merged for var in group.members[:-1]}
        self.stacks = find_stacks(self.chains.values(), self.uses)
        self.values = TiledValues(
            self.bb, self.weights, self.inputs, self.weight_vars, target, block_rows
        )
        self.residual_of: dict[relax.Var, tuple[relax.Var, relax.Var]] = {}

    # -- the walk -----------------------------------------------------------------------------

    def run(self) -> relax.Function:
        attrs = {**dict(self.func.attrs), "num_input": len(self.inputs)}
        with self.bb.function("main", attrs=attrs):
            with self.bb.dataflow():
                for binding in bindings(self.func):
                    if binding.var not in self.inner:
                        self._visit(binding.var, binding.value)
                result = self.bb.emit_output(self.values.in_rows(self.func.body.body))
            self.bb.emit_func_output(result, params=[*self.inputs, *self.weights.vars.values()])
        # A border crossing is emitted where it is first needed; what nobody read after all goes,
        # the transposes in front of packed weights among it.
        func = relax.analysis.remove_all_unused(self.bb.get()["main"])
        used = set(relax.analysis.free_vars(func.body))
        params = [var for var in func.params if var in used or var.name not in self.weights.vars]
        self.weights.keep_only({var.name for var in params})
        return relax.Function(params, func.body, func.ret_ty, func.is_pure, func.attrs)

    def _visit(self, var: relax.Var, value: relax.Expr) -> None:
        if var in self.values.tiled:
            return  # computed already, with the first product of its stack
        if var in self.chains:
            chain = self.chains[var]
            if not self._emit_row_product(chain):
                self._emit_product(chain)
        elif var in self.gathers:
            self._emit_gather(var)
        elif not (
            self._defer_residual(var, value)
            or self._emit_layer_norm(var, value)
            or self._emit_attention(var, value)
            or self._alias_reshape(var, value)
            or self._emit_elementwise(var, value)
        ):
            self.values.rows[var] = self.bb.emit(self.values.in_rows(value))

    # -- products -----------------------------------------------------------------------------

    def _emit_row_product(self, chain: DenseChain) -> bool:
        """Multiply a few rows that are not in tiles, such as the first token of each sequence."""
        *lead, depth = static_shape(chain.data)
        units = static_shape(chain.result)[-1]
        rows = prod(lead)
        panel = row_panel(rows, units, self.target)
        if chain.is_sparse or chain.data in self.values.tiled or panel is None:
            return False

        def in_two_axes(var: relax.Var, width: int) -> relax.Expr:
            value = self.values.in_rows(var)
            return self.bb.emit(relax.op.reshape(value, (rows, width))) if len(lead) > 1 else value

        product = self.bb.emit(
            RowDense(units, self.target.lanes, chain.epilogue)(
                in_two_axes(chain.data, depth),
                self.weights.dense([chain], panel),
                self.weights.bias([chain]),
                None if chain.residual is None else in_two_axes(chain.residual, units),
            )
        )
        if len(lead) > 1:
            product = self.bb.emit(relax.op.reshape(product, (*lead, units)))
        self.values.rows[chain.result] = product
        return True

    def _emit_gather(self, var: relax.Var) -> None:
        batch, seq_len, features = static_shape(var)
        layout = choose_layout(batch, seq_len, self.target, self.values.block_rows)
        terms = [
            (self.values.in_rows(ids), self.weights.keep(table))
            for ids, table in self.gathers[var].terms
        ]
        gathered = self.bb.emit(GatherTokens(layout)(terms))
        self.values.tiled[var] = Tiled(gathered, layout, 0, features)

    def _emit_product(self, chain: DenseChain) -> None:
        stack = self.stacks.get(chain.result, [chain])
        data = self.values.in_tiles(chain.data)
        residual = None
        if chain.residual is not None:
            residual = self.values.in_tiles(chain.residual, data.layout).var
        widths = [static_shape(member.result)[-1] for member in stack]
        units, depth = sum(widths), data.features
        bias = self.weights.bias(stack)
        if chain.is_sparse:
            weight, form, in_parallel = self._sparse_weight(stack, data)
            rows = split_rows(data.layout, self.target)
            multiply = TiledSparseDense(rows, chain.epilogue, data.layout, form, in_parallel)
            product = multiply(data.var, weight, bias, residual)
        else:
            packed = self.weights.dense(stack, dense_rows(data.layout, self.target, (units, depth)))
            product = PackedDense(units, chain.epilogue, data.layout)(
                data.var, packed, bias, residual
            )
        var = self.bb.emit(product)
        offset = 0
        for member, width in zip(stack, widths, strict=True):
            self.values.tiled[member.result] = Tiled(var, data.layout, offset, width)
            offset += width

    def _sparse_weight(
        self, stack: list[DenseChain], data: Tiled
    ) -> tuple[tuple[relax.Var, ...], SparseFormat, bool]:
        nnzb = sum(static_shape(member.weight[0])[0] for member in stack)
        _, bs_r, bs_c = static_shape(stack[0].weight[0])
        units = sum(static_shape(member.result)[-1] for member in stack)
        num_blocks = (units // bs_r, data.features // bs_c)
        density = nnzb / prod(num_blocks)
        form = sparse_format(num_blocks, (bs_r, bs_c), density, data.layout, self.target)
        in_parallel = pays_in_parallel(2.0 * prod(_tokens(data)) * nnzb * bs_r * bs_c)
        return *self.weights.sparse(stack, num_blocks[1], form), in_parallel

    # -- everything between products ----------------------------------------------------------

    def _defer_residual(self, var: relax.Var, value: relax.Expr) -> bool:
        """Leave an addition to the layer norm that alone reads it."""
        reader = self.uses.only_reader(var)
        if (
            op_name(value) != "relax.add"
            or reader is None
            or not self._is_token_norm(self.uses.value[reader])
            or not self.uses.value[reader].args[0].same_as(var)
            or not all(isinstance(a, relax.Var) and a in self.values.tiled for a in value.args)
            or any(static_shape(arg) != static_shape(var) for arg in value.args)
        ):
            return False
        self.residual_of[var] = (value.args[0], value.args[1])
        return True

    def _is_token_norm(self, value: relax.Expr) -> bool:
        """Whether `value` normalises the features of each token, as our kernel does."""
        if op_name(value) != "relax.nn.layer_norm":
            return False
        data, gamma, beta = value.args
        last = len(static_shape(data)) - 1
        return (
            [int(axis) % (last + 1) for axis in value.attrs.axes] == [last]
            and bool(value.attrs.center and value.attrs.scale)
            and data.ty.dtype == "float32"
            and {gamma, beta} <= self.weight_vars
        )

    def _emit_layer_norm(self, var: relax.Var, value: relax.Expr) -> bool:
        if not self._is_token_norm(value):
            return False
        data, gamma, beta = value.args
        first, *added = self.residual_of.get(data, (data,))
        operands = [self.values.in_tiles(first)]
        operands += [self.values.in_tiles(arg, operands[0].layout) for arg in added]
        layout = operands[0].layout
        vectors = norm_vectors(layout, self.target)
        norm = TiledLayerNorm(float(value.attrs.epsilon), vectors, layout)(
            operands[0].var,
            self.weights.keep(gamma),
            self.weights.keep(beta),
            operands[1].var if len(operands) > 1 else None,
        )
        self.values.tiled[var] = replace(operands[0], var=self.bb.emit(norm))
        return True

    def _emit_attention(self, var: relax.Var, value: relax.Expr) -> bool:
        if op_name(value) not in ATTENTION or value.attrs.causal_mask is not None:
            return False
        query, key, val, *mask = value.args
        q, k, v = (self.values.tiled.get(arg) for arg in (query, key, val))
        if q is None or k is None or v is None or len({q.layout, k.layout, v.layout}) != 1:
            return False
        layout = q.layout
        batch, seq_len, heads, head_dim = static_shape(query)
        if (batch, seq_len) != (layout.batch, layout.seq_len):
            return False
        mask_rows = None
        if mask:
            mask_shape = static_shape(mask[0])
            if mask_shape[0] not in (1, batch) or mask_shape[1:] != (1, 1, seq_len):
                return False
            mask_rows = self.bb.emit(
                relax.op.reshape(self.values.in_rows(mask[0]), (mask_shape[0], seq_len))
            )
        value_dim = static_shape(val)[-1]
        scale = value.attrs.scale
        attend = TiledAttention(
            heads=heads,
            head_dim=head_dim,
            value_dim=value_dim,
            offsets=(q.offset, k.offset, v.offset),
            scale=float(scale) if scale is not None else head_dim**-0.5,
            tile=attention_tile(layout, self.target),
            layout=layout,
        )
        attention = self.bb.emit(attend(q.var, k.var, v.var, mask_rows))
        self.values.tiled[var] = Tiled(attention, layout, 0, heads * value_dim)
        return True

    def _alias_reshape(self, var: relax.Var, value: relax.Expr) -> bool:
        """Follow a reshape that only regroups features, or only merges batch and tokens."""
        if op_name(value) != "relax.reshape" or value.args[0] not in self.values.tiled:
            return False
        tiled, shape = self.values.tiled[value.args[0]], static_shape(var)
        leads = ((tiled.layout.batch, tiled.layout.seq_len), (prod(_tokens(tiled)),))
        if not any(shape[: len(lead)] == lead for lead in leads):
            return False
        self.values.tiled[var] = tiled
        return True

    def _emit_elementwise(self, var: relax.Var, value: relax.Expr) -> bool:
        name = op_name(value)
        if name not in _UNARY | _BINARY:
            return False
        first = next(
            (a for a in value.args if isinstance(a, relax.Var) and a in self.values.tiled), None
        )
        if first is None or static_shape(first) != static_shape(var):
            return False
        like = self.values.tiled[first]
        args = [self._elementwise_operand(arg, first, like) for arg in value.args]
        if any(arg is None for arg in args):
            return False
        call = relax.Call(value.op, args, value.attrs, value.ty_args)
        self.values.tiled[var] = Tiled(self.bb.emit(call), like.layout, 0, like.features)
        return True

    def _elementwise_operand(
        self, arg: relax.Expr, first: relax.Var, like: Tiled
    ) -> relax.Expr | None:
        shape = static_shape(arg)
        if prod(shape) == 1 and not (isinstance(arg, relax.Var) and arg in self.values.tiled):
            rows = self.values.in_rows(arg)
            # A scalar of more axes than tiles have would add them to the result.
            return self.bb.emit(relax.op.reshape(rows, ())) if len(shape) > 3 else rows
        if isinstance(arg, relax.Var) and shape == static_shape(first):
            return self.values.in_tiles(arg, like.layout, like.features).var
        if shape == (like.features,):
            return self.bb.emit(relax.op.reshape(self.values.in_rows(arg), (like.features, 1)))
        return None


def _tokens(tiled: Tiled) -> tuple[int, int]:
    return tiled.layout.batch, tiled.layout.seq_len
