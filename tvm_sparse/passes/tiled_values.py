"""Values of a function in both forms, row-major and on token tiles, converted where needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout, choose_layout
from tvm_sparse.ir.expressions import static_shape, substitute
from tvm_sparse.ops.pack_tokens import PackTokens
from tvm_sparse.ops.unpack_tokens import UnpackTokens
from tvm_sparse.passes.packed_weights import PackedWeights
from tvm_sparse.target import CpuTarget


@dataclass(frozen=True)
class Tiled:
    """Where the tiled form of a variable lies: `features` from `offset` of `var`.

    `var` is (tiles, total features, T), tiled as `layout` says.
    """

    var: relax.Var
    layout: TokenLayout
    offset: int
    features: int


class TiledValues:
    """What the function being written holds, by the variables of `func`, the one being read.

    `params` are the weights of `func` by name, `block_rows` is `bs_r` of the sparse layers, 0 for a
    dense build.
    """

    def __init__(
        self,
        func: relax.Function,
        params: Mapping[str, np.ndarray],
        target: CpuTarget,
        block_rows: int,
    ) -> None:
        self.bb, self.weights = relax.BlockBuilder(), PackedWeights(params)
        self.target, self._block_rows = target, block_rows
        self.inputs = [var for var in func.params if var.name not in params]
        self.rows: dict[relax.Var, relax.Expr] = {var: var for var in self.inputs}
        self.tiled: dict[relax.Var, Tiled] = {}
        self._weight_vars = {var for var in func.params if var.name in params}
        self._packed: dict[tuple[relax.Var, TokenLayout], Tiled] = {}

    def emit(self, expr: relax.Expr) -> relax.Var:
        """Write a binding and return its variable."""
        return self.bb.emit(expr)

    def layout(self, batch: int, seq_len: int) -> TokenLayout:
        """Return the token tiles of a new value."""
        return choose_layout(batch, seq_len, self.target, self._block_rows)

    def in_rows(self, expr: relax.Expr) -> relax.Expr:
        """Return `expr` over row-major values."""
        return substitute(expr, self._row_of)

    def _row_of(self, var: relax.Var) -> relax.Expr:
        if var in self._weight_vars:
            return self.weights.keep(var)
        if var not in self.rows:
            tiled = self.whole(self.tiled[var])
            rows = self.emit(UnpackTokens(tiled.layout)(tiled.var))
            if static_shape(rows) != static_shape(var):
                rows = self.emit(relax.op.reshape(rows, static_shape(var)))
            self.rows[var] = rows
        return self.rows[var]

    def in_tiles(
        self, var: relax.Var, layout: TokenLayout | None = None, features: int | None = None
    ) -> Tiled:
        """Return the tiled form of `var`, a float32 tensor, whole.

        Without a layout any will do. What counts as the features of a token is the extent of the
        last axis, if `features` does not say otherwise: a tensor split into heads, (batch, seq_len,
        heads, dim), may lie in tiles with all heads together, which is another tensor to somebody
        who reduces over `dim`.
        """
        shape = static_shape(var)
        features = features or shape[-1]
        tiled = self.tiled.get(var)
        if tiled is not None and tiled.features == features and layout in (None, tiled.layout):
            return self.whole(tiled)
        if layout is None:
            batch, seq_len = shape[:2] if len(shape) == 3 else (1, prod(shape[:-1]))
            layout = self.layout(batch, seq_len)
        if (var, layout) not in self._packed:
            rows = self.in_rows(var)
            if shape != (layout.batch, layout.seq_len, features):
                shape = (layout.batch, layout.seq_len, features)
                rows = self.emit(relax.op.reshape(rows, shape))
            packed = self.emit(PackTokens(layout)(rows))
            self._packed[var, layout] = Tiled(packed, layout, 0, features)
            self.tiled.setdefault(var, self._packed[var, layout])
        return self._packed[var, layout]

    def whole(self, tiled: Tiled) -> Tiled:
        """Cut a slice of a stacked product out, where somebody needs it alone."""
        if static_shape(tiled.var)[1] == tiled.features:
            return tiled
        stop = tiled.offset + tiled.features
        cut = relax.op.strided_slice(tiled.var, axes=[1], begin=[tiled.offset], end=[stop])
        return replace(tiled, var=self.emit(cut), offset=0)
