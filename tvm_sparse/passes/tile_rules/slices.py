"""Slices of the features of tokens, which stay where they lie."""

from __future__ import annotations

from dataclasses import replace

from tvm_sparse.ir.dims import dim
from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.passes.tile_rules.rule import Rule


class FeatureSlice(Rule):
    """Take some features of a product, and move nothing."""

    def pattern(self) -> bool:
        if op_name(self.value) != "relax.strided_slice":
            return False
        data, axes, *_ = self.value.args
        rank = len(tensor_shape(data))
        places = [int(axis) % rank for axis in axes.fields]
        return data in self.values.tiled and places == [rank - 1]

    def check(self) -> str:
        data, _, *bounds = self.value.args
        begin, end, *strides = (tuple(map(dim, part.fields)) for part in bounds)
        if self.values.tiled[data].features != tensor_shape(data)[-1]:
            return "the features of each head are cut"
        if strides not in ([], [(1,)]) or not isinstance(begin[0], int) or begin[0] < 0:
            return f"features {begin} to {end} in steps of {strides} are no range"
        return ""

    def rewrite(self) -> None:
        data, _, begin, *_ = self.value.args
        tiled = self.values.tiled[data]
        features = int(tensor_shape(self.var)[-1])
        offset = tiled.offset + int(begin.fields[0])
        self.values.tiled[self.var] = replace(tiled, offset=offset, features=features)
