"""`tvm_sparse.tiled_layer_norm`: layer normalisation of the features of token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.layer_norm import make_layer_norm
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import features_of, tiled_type


@dataclass(frozen=True)
class TiledLayerNorm(Operator, name="tiled_layer_norm"):
    """Normalise the features of each token, so many vectors of tokens in a parallel iteration."""

    epsilon: float
    vectors: int
    layout: TokenLayout

    def __call__(
        self,
        data: Expr,
        gamma: Expr,
        beta: Expr,
        residual: Expr | None = None,
        tile_map: Expr | None = None,
    ) -> relax.Call:
        """Return a call; the residual is added to data before. An open layout needs its map."""
        return self.call(data, gamma, beta, residual, tile_map)

    def infer_type(self, data: Expr, *_: Expr) -> relax.TensorType:
        return tiled_type(self.layout, features_of(data))

    def kernel(self, data: Expr, *others: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        # Besides gamma, beta and the map there is a residual, or nothing.
        features, added = features_of(data), len(others) - self.layout.is_open > 2
        return (
            KernelFacts("layer_norm", features, epilogue=Epilogue(residual=added)),
            made(make_layer_norm, self.layout, features, self.epsilon, self.vectors, added),
        )
