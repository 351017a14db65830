"""Values of a function in both forms, row-major and on token tiles, converted where needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from tvm import relax

from tvm_sparse.errors import PassError
from tvm_sparse.formats.token_layout import TokenLayout, choose_layout, choose_open_layout
from tvm_sparse.ir.dims import BATCH, SEQ_LEN, Dim, product
from tvm_sparse.ir.expressions import substitute, tensor_shape
from tvm_sparse.kernels.tiling import norm_vectors
from tvm_sparse.ops.pack_tokens import PackTokens
from tvm_sparse.ops.quantize_tokens import QuantizeTokens
from tvm_sparse.ops.row_tile_map import RowTileMap
from tvm_sparse.ops.tiled import rectangle, tile_map_type
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


def has_open_shapes(variables: Iterable[relax.Var]) -> bool:
    """Return whether a run decides about the shapes of some of the inputs."""
    return any(not isinstance(extent, int) for var in variables for extent in tensor_shape(var))


class TiledValues:
    """What the function being written holds, by the variables of `func`, the one being read.

    `params` are the weights of `func` by name, `block_rows` is `bs_r` of the sparse layers, 0 for a
    dense build.

    Attributes
    ----------
    open_layout
        Tiles of the tokens of an open model, None in one of a fixed shape.
    tile_map
        In an open model the input, int32 (tiles, 4), that says which tokens each tile holds:
        number of its sequence, position of its first token there, first tile of the sequence,
        length of the sequence. It comes after the inputs of the model.
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
        self.tile_map: relax.Var | None = None
        self.open_layout: TokenLayout | None = None
        if has_open_shapes(self.inputs):
            self.open_layout = choose_open_layout(target, block_rows)
            self.tile_map = relax.Var("tile_map", tile_map_type(self.open_layout))
            self.inputs.append(self.tile_map)
        self._row_map: relax.Var | None = None
        self.rows: dict[relax.Var, relax.Expr] = {var: var for var in self.inputs}
        self.tiled: dict[relax.Var, Tiled] = {}
        self._weight_vars = {var for var in func.params if var.name in params}
        self._packed: dict[tuple[relax.Var, TokenLayout], Tiled] = {}
        self._words: dict[tuple[relax.Var, relax.Var | None], relax.Var] = {}

    def emit(self, expr: relax.Expr) -> relax.Var:
        """Write a binding and return its variable."""
        return self.bb.emit(expr)

    def layout(self, shape: Sequence[Dim]) -> TokenLayout | None:
        """Return the token tiles of a new value (..., features).

        None where they cannot be: the rows are not known, and are not the tokens of the batch.
        """
        *lead, _ = shape
        if tuple(lead) in ((BATCH, SEQ_LEN), (product((BATCH, SEQ_LEN)),)):
            return self.open_layout
        if tuple(lead) == (BATCH, 1) and self.open_layout is not None:
            return replace(self.open_layout, of_rows=True)
        numbers = [extent for extent in lead if isinstance(extent, int)]
        if len(numbers) < len(lead):
            return None
        # One token of each sequence lies beside those of the others.
        is_rectangle = len(numbers) == 2 and numbers[1] > 1
        batch, seq_len = numbers if is_rectangle else (1, prod(numbers))
        return choose_layout(batch, seq_len, self.target, self._block_rows)

    def map_of(self, layout: TokenLayout) -> relax.Var | None:
        """Return the last operand of operators on tiles, None where tiles are all alike."""
        if layout.of_rows and self._row_map is None:
            self._row_map = self.emit(RowTileMap(layout)(self.inputs[0]))
        return self._row_map if layout.of_rows else self.tile_map if layout.is_open else None

    def in_rows(self, expr: relax.Expr) -> relax.Expr:
        """Return `expr` over row-major values."""
        return substitute(expr, self._row_of)

    def write_rows(self, expr: relax.Expr) -> relax.Var:
        """Write what the function being read does not compute, of values of both functions."""
        var = self.emit(self.in_rows(expr))
        self.rows[var] = var
        return var

    def _row_of(self, var: relax.Var) -> relax.Expr:
        if var in self._weight_vars:
            return self.weights.keep(var)
        if var not in self.rows:
            whole = self.whole(self.tiled[var])
            rows = self.emit(UnpackTokens(whole.layout)(whole.var, self.map_of(whole.layout)))
            if tensor_shape(rows) != tensor_shape(var):
                rows = self.emit(relax.op.reshape(rows, tensor_shape(var)))
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
        shape = tensor_shape(var)
        features = features or shape[-1]
        tiled = self.tiled.get(var)
        if tiled is not None and tiled.features == features and layout in (None, tiled.layout):
            return self.whole(tiled)
        layout = layout or self.layout(shape)
        if layout is None:
            raise PassError(f"{var.name} of shape {shape} has no token tiles")
        return self.packed(var, self.in_rows(var), layout, features)

    def packed(
        self, var: relax.Expr, rows: relax.Expr, layout: TokenLayout, features: int
    ) -> Tiled:
        """Return `rows`, what `var` holds, as token tiles; they are made once."""
        if (var, layout) not in self._packed:
            shape = (*rectangle(layout), features)
            if tensor_shape(rows) != shape:
                rows = self.emit(relax.op.reshape(rows, shape))
            packed = self.emit(PackTokens(layout)(rows, self.map_of(layout)))
            self._packed[var, layout] = Tiled(packed, layout, 0, features)
            self.tiled.setdefault(var, self._packed[var, layout])
        return self._packed[var, layout]

    def in_words(self, tiled: Tiled, factors: relax.Var | None = None) -> relax.Var:
        """Return a tiled value as words of small integers, made once for all who multiply it.

        Features are multiplied by factors, a weight of the function being read, before.
        """
        key = tiled.var, factors
        if key not in self._words:
            kept = None if factors is None else self.weights.keep(factors)
            quantize = QuantizeTokens(norm_vectors(tiled.layout, self.target), tiled.layout)
            self._words[key] = self.emit(quantize(tiled.var, kept, self.map_of(tiled.layout)))
        return self._words[key]

    def whole(self, tiled: Tiled) -> Tiled:
        """Cut a slice of a stacked product out, where somebody needs it alone."""
        if tensor_shape(tiled.var)[1] == tiled.features:
            return tiled
        stop = tiled.offset + tiled.features
        cut = relax.op.strided_slice(tiled.var, axes=[1], begin=[tiled.offset], end=[stop])
        return replace(tiled, var=self.emit(cut), offset=0)
