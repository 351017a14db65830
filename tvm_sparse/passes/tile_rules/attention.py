"""Attention over token tiles."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.dims import product
from tvm_sparse.ir.expressions import op_name, static_shape, tensor_shape
from tvm_sparse.kernels.tiling import attention_tile
from tvm_sparse.ops.tiled import rectangle
from tvm_sparse.ops.tiled_attention import TiledAttention
from tvm_sparse.passes.attention_bias import (
    WORTH,
    BiasTerms,
    causal_bias,
    split_bias,
    window_of,
)
from tvm_sparse.passes.dense_chains import ATTENTION
from tvm_sparse.passes.distance_bias import packed_table, window
from tvm_sparse.passes.distances import Distances, find_distances
from tvm_sparse.passes.open_bias import OpenSplit, OpenTerms
from tvm_sparse.passes.tile_rules.rule import Rule
from tvm_sparse.passes.tiled_values import Tiled


class Attention(Rule):
    """Attend in one kernel, over the heads as they lie in the products."""

    def pattern(self) -> bool:
        zeroed = self.walk.zeroed.get(self.var)
        if zeroed is not None:
            self.value = zeroed.attention
        self.zeroes_unseen = zeroed is not None
        return op_name(self.value) in ATTENTION

    def check(self) -> str:
        query, key, value, *bias = self.value.args
        batch, seq_len, *_ = tensor_shape(query)
        self.operands = [query, self._shared(key), self._shared(value)]
        if tensor_shape(key)[1] != seq_len:
            return f"queries of {seq_len} tokens, keys of {tensor_shape(key)[1]}"
        self.key_heads = tensor_shape(self.operands[1])[2]
        if self.key_heads != tensor_shape(self.operands[2])[2]:
            return "keys and values have different numbers of heads"
        layout = self._layout()
        if layout is None:
            return f"heads of {batch}x{seq_len} tokens have no token tiles"
        self.layout = layout
        self.table: np.ndarray | None = None
        is_causal = self.value.attrs.causal_mask is not None
        if layout.is_open:
            return self._check_open(bias[0] if bias else None, is_causal)
        self.terms = split_bias(bias[0], self.walk.uses.value) if bias else BiasTerms()
        self.distances = self._find_distances()
        if is_causal:
            self.terms.pairs.append(causal_bias(seq_len))
        return ""

    def _check_open(self, bias: relax.Expr | None, is_causal: bool) -> str:
        """Take apart what is added to scores of sequences of any length."""
        found = OpenTerms() if bias is None else self._open_terms(bias)
        self.terms, self.distances = BiasTerms(rows=found.rows), []
        if found.unknown or is_causal:
            shapes = " and ".join(str(tensor_shape(term)) for term in found.unknown)
            what = f"the mask of shape {shapes}" if found.unknown else "a causal mask"
            return f"{what} is not one row a sequence, nor by distance, of a length left open"
        self.table, self.of_weights = found.table, found.weights
        if found.known and self.table is None:
            return "what is added to scores depends on more than how far two tokens are apart"
        return ""

    def _open_terms(self, bias: relax.Expr) -> OpenTerms:
        """Return the terms of a bias; those that layers share are taken apart once."""
        if bias not in self.walk.terms:
            self.walk.terms[bias] = OpenSplit(self.walk.known, self.values.write_rows)(bias)
        return self.walk.terms[bias]

    def rewrite(self) -> None:
        query, _, value = self.operands
        q, k, v = map(self._in_tiles, self.operands)
        heads, head_dim = map(int, tensor_shape(query)[2:])
        value_dim = int(tensor_shape(value)[3])
        bias = self._bias() if self.table is None else self._by_distance(self.table)
        by_side = {one.by_query: one for one in self.distances}
        distances = [
            self._features(by_side[side], heads) for side in (True, False) if side in by_side
        ]
        attend = TiledAttention(
            heads=heads,
            head_dim=head_dim,
            value_dim=value_dim,
            offsets=(q.offset, k.offset, v.offset),
            scale=self._scale(),
            tile=attention_tile(self.layout, self.target),
            layout=self.layout,
            key_heads=0 if self.key_heads == heads else self.key_heads,
            reach=0 if self.table is None else self._reach(self.table),
            window=self._window(),
            zeroes_unseen=self.zeroes_unseen,
            is_biased=bias is not None,
            to_position=True in by_side,
            from_position=False in by_side,
        )
        tile_map = self.values.map_of(self.layout)
        call = attend(q.var, k.var, v.var, self._mask(), bias, *distances, tile_map=tile_map)
        self.values.tiled[self.var] = Tiled(
            self.values.emit(call), self.layout, 0, heads * value_dim
        )

    def _window(self) -> tuple[int, int]:
        if self.table is not None:
            return window(self.table, WORTH)
        return window_of(self.terms.pairs, self.walk.uses.value)

    def _reach(self, table: np.ndarray) -> int:
        """Return the tokens of whole tiles that a table of distances is for."""
        tile = self.layout.token_tile
        return -(-(table.shape[1] // 2 + 1) // tile) * tile

    def _by_distance(self, table: np.ndarray) -> relax.Expr:
        """Return a table of distances as the kernel reads it; equal ones are one."""
        packed = packed_table(table, self._reach(table), self.layout.lanes)
        if self.of_weights:
            return self.values.weights.computed(self.of_weights, "by_distance", packed)
        key = (table.tobytes(), self.layout)
        if key not in self.walk.tables:
            self.walk.tables[key] = relax.const(packed, "float32")
        return self.walk.tables[key]

    def _shared(self, operand: relax.Expr) -> relax.Expr:
        """Return keys or values before each head of them was repeated for several of queries."""
        call: Any = self.walk.uses.value.get(operand)
        repeated = op_name(call) == "relax.repeat" and int(call.attrs.axis) == 2
        return call.args[0] if repeated else operand

    def _layout(self) -> TokenLayout | None:
        """Return the token tiles in which most of the operands lie, or would."""
        batch, seq_len, heads, dim = tensor_shape(self.operands[0])
        for operand in self.operands:
            tiled = self.values.tiled.get(operand)
            if tiled is not None and rectangle(tiled.layout) == (batch, seq_len):
                return tiled.layout
        return self.values.layout((batch, seq_len, heads * dim))

    def _in_tiles(self, operand: relax.Expr) -> Tiled:
        """Return where an operand lies, as it is if it is in tiles already."""
        tiled = self.values.tiled.get(operand)
        if tiled is not None and tiled.layout == self.layout:
            return tiled
        return self.values.in_tiles(operand, self.layout, product(tensor_shape(operand)[2:]))

    def _find_distances(self) -> list[Distances]:
        """Take features of distances out of the terms of the bias."""
        query, key, _ = self.operands
        taken: list[Distances] = []
        if self.layout.is_open or tensor_shape(query) != tensor_shape(key):
            return taken
        for term in list(self.terms.pairs):
            found = find_distances(term, query, key, self.walk.uses.value, self.walk.weights)
            sides = [one.by_query for one in (*taken, *found)]
            if found and len(set(sides)) == len(sides):
                self.terms.pairs.remove(term)
                taken += found
        return taken

    def _features(self, one: Distances, heads: int) -> relax.Var:
        """Return features of distances as the kernel reads them."""
        return self.values.weights.derive(
            one.weight,
            "by_distance",
            lambda weight: one.packed(weight, heads, self._scale(), self.layout),
        )

    def _scale(self) -> float:
        scale = self.value.attrs.scale
        return int(tensor_shape(self.operands[0])[3]) ** -0.5 if scale is None else float(scale)

    def _mask(self) -> relax.Var | None:
        """Return what is added for a key of a sequence: (1 or batch, seq_len)."""
        if not self.terms.rows:
            return None
        total = self._sum(self.terms.rows)
        first, _, _, seq_len = tensor_shape(total)
        return self.values.emit(relax.op.reshape(total, (first, seq_len)))

    def _bias(self) -> relax.Var | None:
        """Return what is added for a query and a key, as the kernel reads it.

        (1 or batch, 1 or heads, keys, queries in whole tiles); what layers share is made once.
        """
        if not self.terms.pairs:
            return None
        key = (self.layout, *self.terms.pairs)
        if key not in self.walk.biases:
            self.walk.biases[key] = self._by_key(self.terms.pairs)
        return self.walk.biases[key]

    def _by_key(self, pairs: list[relax.Expr]) -> relax.Var:
        seq_len, tokens = (
            self.layout.seq_len,
            self.layout.token_tile * self.layout.tiles_per_sequence,
        )
        rest = tokens - seq_len
        (first, *others) = pairs
        if not others and first in self.walk.weights and static_shape(first)[2:] == (seq_len,) * 2:
            widths = ((0, 0), (0, 0), (0, 0), (0, rest))
            return self.values.weights.derive(
                first,
                f"by_key{tokens}",
                lambda bias: np.pad(bias.transpose(0, 1, 3, 2), widths),
            )
        total = self._sum(pairs)
        shape = (*static_shape(total)[:2], seq_len, seq_len)
        if static_shape(total) != shape:
            total = self.values.emit(relax.op.broadcast_to(total, shape))
        turned = self.values.emit(relax.op.permute_dims(total, [0, 1, 3, 2]))
        if not rest:
            return turned
        return self.values.emit(relax.op.nn.pad(turned, [0] * 7 + [rest]))

    def _sum(self, terms: list[relax.Expr]) -> relax.Expr:
        first, *others = (self.values.in_rows(term) for term in terms)
        return reduce(lambda a, b: self.values.emit(relax.op.add(a, b)), others, first)
