"""Layer norms over the features of tokens, with an addition before them."""

from __future__ import annotations

from dataclasses import replace

from tvm import relax

from tvm_sparse.ir.expressions import ints, op_name, tensor_shape
from tvm_sparse.kernels.tiling import norm_vectors
from tvm_sparse.ops.tiled_layer_norm import TiledLayerNorm
from tvm_sparse.passes.tile_rules.rule import Rule, Walk, is_known

_LAYER_NORM = "relax.nn.layer_norm"


class AddBeforeNorm(Rule):
    """Leave an addition to the layer norm that alone reads it."""

    def pattern(self) -> bool:
        reader = self.walk.uses.only_reader(self.var)
        if op_name(self.value) != "relax.add" or reader is None:
            return False
        self.norm = self.walk.uses.value[reader]
        return op_name(self.norm) == _LAYER_NORM and bool(self.norm.args[0].same_as(self.var))

    def check(self) -> str:
        if reason := _refusal(self.walk, self.norm):
            return reason
        for arg in self.value.args:
            if not isinstance(arg, relax.Var) or arg not in self.values.tiled:
                return "an operand does not lie in token tiles"
            if tensor_shape(arg) != tensor_shape(self.var):
                return f"an operand of shape {tensor_shape(arg)} is broadcast"
        return ""

    def rewrite(self) -> None:
        first, second = self.value.args
        self.walk.deferred[self.var] = (first, second)


class LayerNorm(Rule):
    """Normalise the features of each token."""

    def pattern(self) -> bool:
        return op_name(self.value) == _LAYER_NORM

    def check(self) -> str:
        return _refusal(self.walk, self.value)

    def rewrite(self) -> None:
        data, gamma, beta = self.value.args
        first, *added = self.walk.deferred.get(data, (data,))
        tiled = self.values.in_tiles(first)
        residual = self.values.in_tiles(added[0], tiled.layout).var if added else None
        vectors = norm_vectors(tiled.layout, self.target)
        norm = TiledLayerNorm(float(self.value.attrs.epsilon), vectors, tiled.layout)(
            tiled.var,
            self.values.in_rows(gamma),
            self.values.in_rows(beta),
            residual,
            self.values.map_of(tiled.layout),
        )
        self.values.tiled[self.var] = replace(tiled, var=self.values.emit(norm))


def _refusal(walk: Walk, norm: relax.Call) -> str:
    """Return why our kernel does not compute a layer norm; empty if it does."""
    data, gamma, beta = norm.args
    rank = len(tensor_shape(data))
    axes = [axis % rank for axis in ints(norm.attrs.axes)]
    if axes != [rank - 1]:
        return f"axes {axes} of {rank} are normalised, not the features"
    if not (norm.attrs.center and norm.attrs.scale):
        return "it does not scale and shift"
    if walk.values.layout(tensor_shape(data)) is None:
        return f"rows of shape {tensor_shape(data)} are no tokens"
    if data.ty.dtype != "float32":
        return f"{data.ty.dtype} data"
    if not (is_known(gamma, walk.weights) and is_known(beta, walk.weights)):
        return "gamma or beta is no weight"
    return ""
