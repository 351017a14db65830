"""Values of a function in both forms, row-major and on token tiles, converted where needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

from tvm import relax

from tvm_sparse.ir.expressions import static_shape
from tvm_sparse.kernels.tiling import TokenLayout, choose_layout
from tvm_sparse.ops.pack_tokens import PackTokens
from tvm_sparse.ops.unpack_tokens import UnpackTokens
from tvm_sparse.passes.packed_weights import PackedWeights
from tvm_sparse.target import CpuTarget


@dataclass(frozen=True)
class Tiled:
    """Where the tiled form of a variable lies.

    Attributes
    ----------
    var : relax.Var
        (tiles, total features, T).
    layout : TokenLayout
        Its tiling.
    offset, features : int
        The features of `var` that are meant.
    """

    var: relax.Var
    layout: TokenLayout
    offset: int
    features: int


class TiledValues:
    """What the function being written holds, by the variables of the function being read.

    Parameters
    ----------
    bb : relax.BlockBuilder
        Writes the new function.
    weights : PackedWeights
        Its weights.
    inputs, weight_vars : iterable of relax.Var
        Parameters of the function being read.
    target : CpuTarget
        The CPU the tiles are chosen for.
    block_rows : int
        `bs_r` of the sparse layers; 0 for a dense build.
    """

    def __init__(
        self,
        bb: relax.BlockBuilder,
        weights: PackedWeights,
        inputs: Iterable[relax.Var],
        weight_vars: Iterable[relax.Var],
        target: CpuTarget,
        block_rows: int,
    ) -> None:
        self.bb, self.weights = bb, weights
        self.target, self.block_rows = target, block_rows
        self.weight_vars = set(weight_vars)
        self.rows: dict[relax.Var, relax.Expr] = {var: var for var in inputs}
        self.tiled: dict[relax.Var, Tiled] = {}
        self._packed: dict[tuple[relax.Var, TokenLayout], Tiled] = {}

    def in_rows(self, expr: relax.Expr) -> relax.Expr:
        """Return `expr` over row-major values."""
        if isinstance(expr, relax.Var):
            if expr in self.weight_vars:
                return self.weights.keep(expr)
            if expr not in self.rows:
                tiled = self.whole(self.tiled[expr])
                rows = self.bb.emit(UnpackTokens(tiled.layout)(tiled.var))
                shape = static_shape(expr)
                if static_shape(rows) != shape:
                    rows = self.bb.emit(relax.op.reshape(rows, shape))
                self.rows[expr] = rows
            return self.rows[expr]
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([self.in_rows(field) for field in expr.fields])
        if isinstance(expr, relax.TupleGetItem):
            return relax.TupleGetItem(self.in_rows(expr.tuple_value), expr.index)
        if isinstance(expr, relax.Call):
            args = [self.in_rows(arg) for arg in expr.args]
            return relax.Call(expr.op, args, expr.attrs, expr.ty_args)
        return expr

    def in_tiles(
        self, var: relax.Var, layout: TokenLayout | None = None, features: int | None = None
    ) -> Tiled:
        """Return the tiled form of `var`, whole.

        Parameters
        ----------
        var : relax.Var
            A float32 tensor.
        layout : TokenLayout, optional
            The tiling it is needed in; any by default.
        features : int, optional
            What counts as the features of a token; by default the extent of the last axis. A
            tensor split into heads, (batch, seq_len, heads, dim), may lie in tiles with all heads
            together, which is another tensor to somebody who reduces over `dim`.
        """
        shape = static_shape(var)
        features = features or shape[-1]
        tiled = self.tiled.get(var)
        if tiled is not None and tiled.features == features and layout in (None, tiled.layout):
            return self.whole(tiled)
        if layout is None:
            batch, seq_len = shape[:2] if len(shape) == 3 else (1, prod(shape[:-1]))
            layout = choose_layout(batch, seq_len, self.target, self.block_rows)
        if (var, layout) not in self._packed:
            rows = self.in_rows(var)
            if shape != (layout.batch, layout.seq_len, features):
                rows = self.bb.emit(
                    relax.op.reshape(rows, (layout.batch, layout.seq_len, features))
                )
            packed = self.bb.emit(PackTokens(layout)(rows))
            self._packed[var, layout] = Tiled(packed, layout, 0, features)
            self.tiled.setdefault(var, self._packed[var, layout])
        return self._packed[var, layout]

    def whole(self, tiled: Tiled) -> Tiled:
        """Cut a slice of a stacked product out, where somebody needs it alone."""
        if static_shape(tiled.var)[1] == tiled.features:
            return tiled
        stop = tiled.offset + tiled.features
        cut = relax.op.strided_slice(tiled.var, axes=[1], begin=[tiled.offset], end=[stop])
        return replace(tiled, var=self.bb.emit(cut), offset=0)
