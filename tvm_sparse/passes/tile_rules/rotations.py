"""Rotary position embeddings of queries and keys in token tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import tensor_shape
from tvm_sparse.ops.tiled import rectangle
from tvm_sparse.ops.tiled_rotation import TiledRotation
from tvm_sparse.passes.tile_rules.rule import Rule
from tvm_sparse.passes.tiled_values import Tiled


class Rotate(Rule):
    """Turn heads as they lie in their product; tables that are known are packed now."""

    def pattern(self) -> bool:
        return self.var in self.walk.rotations

    def check(self) -> str:
        self.rotation = self.walk.rotations[self.var]
        tiled = self.values.tiled.get(self.rotation.data)
        if tiled is None:
            return "the heads do not lie in token tiles"
        self.heads = tiled
        if tensor_shape(self.var)[:2] != rectangle(tiled.layout):
            return f"heads of shape {tensor_shape(self.var)} are those of other tokens"
        return ""

    def rewrite(self) -> None:
        layout = self.heads.layout
        tables = (self.rotation.cos, self.rotation.sin)
        shared = all(tensor_shape(table)[0] == 1 for table in tables)
        known = []
        if layout.is_open:
            known = [array for table in tables if (array := self.walk.known.of(table)) is not None]
            shared &= len(known) == len(tables)
        rotate = TiledRotation(
            heads=self.heads.features // int(tensor_shape(self.var)[-1]),
            offset=self.heads.offset,
            interleaved=self.rotation.interleaved,
            shared=shared,
            layout=layout,
        )
        of_tables = replace(layout, batch=1) if shared else layout
        if shared and layout.is_open:
            cos, sin = (self._packed(table[:, :, 0], layout) for table in known)
        else:
            cos, sin = (self._table(table, of_tables) for table in tables)
        turned = self.values.emit(rotate(self.heads.var, cos, sin, self.values.map_of(layout)))
        self.values.tiled[self.var] = Tiled(turned, layout, 0, self.heads.features)

    def _table(self, table: relax.Expr, layout: TokenLayout) -> relax.Expr:
        """Return a table (1 or batch, seq_len, 1, head_dim) in tiles; equal ones are one."""
        features = int(tensor_shape(table)[-1])
        wanted = (*rectangle(layout), features)
        if not isinstance(table, tvm.ir.GenericConst):
            rows = self.values.in_rows(table)
            if tensor_shape(table)[0] != wanted[0]:
                whole = (wanted[0], *tensor_shape(table)[1:])
                rows = self.values.emit(relax.op.broadcast_to(rows, whole))
            return self.values.packed(table, rows, layout, features).var
        return self._packed(np.broadcast_to(table.value.numpy()[:, :, 0], wanted), layout)

    def _packed(self, array: np.ndarray, layout: TokenLayout) -> relax.Expr:
        """Return numbers of tokens (1 or batch, seq_len, features) in tiles of each sequence."""
        key = (array.tobytes(), layout)
        if key not in self.walk.tables:
            padding = -array.shape[1] % layout.token_tile
            padded = np.pad(array, ((0, 0), (0, padding), (0, 0)), mode="edge")
            tiles = padded.reshape(-1, layout.token_tile, array.shape[2]).transpose(0, 2, 1)
            self.walk.tables[key] = relax.const(np.ascontiguousarray(tiles), "float32")
        return self.walk.tables[key]
