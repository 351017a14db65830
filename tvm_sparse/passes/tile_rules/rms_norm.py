"""RMS norms over the features of tokens, all of them or those of each head."""

from __future__ import annotations

from dataclasses import replace

from tvm_sparse.ir.expressions import ints, op_name, tensor_shape
from tvm_sparse.kernels.tiling import norm_vectors
from tvm_sparse.ops.tiled_rms_norm import TiledRmsNorm
from tvm_sparse.passes.tile_rules.rule import Rule, is_known


class RmsNorm(Rule):
    """Normalise the features of each token or head."""

    def pattern(self) -> bool:
        return op_name(self.value) == "relax.nn.rms_norm"

    def check(self) -> str:
        data, gamma = self.value.args
        shape, tiled = tensor_shape(data), self.values.tiled.get(data)
        axes = [axis % len(shape) for axis in ints(self.value.attrs.axes)]
        if axes != [len(shape) - 1] or tensor_shape(gamma) != shape[-1:]:
            return f"axes {axes} of {len(shape)} are normalised, not the features"
        if tiled is None and (len(shape) > 3 or self.values.layout(shape) is None):
            return f"rows of shape {shape} are no tokens"
        if data.ty.dtype != "float32":
            return f"{data.ty.dtype} data"
        return "" if is_known(gamma, self.walk.weights) else "gamma is no weight"

    def rewrite(self) -> None:
        data, gamma = self.value.args
        width = int(tensor_shape(gamma)[0])
        tiled = self.values.tiled.get(data) or self.values.in_tiles(data)
        norm = TiledRmsNorm(
            groups=tiled.features // width,
            offset=tiled.offset,
            epsilon=float(self.value.attrs.epsilon),
            vectors=norm_vectors(tiled.layout, self.target),
            layout=tiled.layout,
        )
        tile_map = self.values.map_of(tiled.layout)
        var = self.values.emit(norm(tiled.var, self.values.in_rows(gamma), tile_map))
        self.values.tiled[self.var] = replace(tiled, var=var, offset=0)
