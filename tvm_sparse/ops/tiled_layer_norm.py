"""`tvm_sparse.tiled_layer_norm`: layer normalisation of the features of token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import static_shape, tensor_type
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.layer_norm import make_layer_norm
from tvm_sparse.ops.operator import Expr, Operator, made


@dataclass(frozen=True)
class TiledLayerNorm(Operator, name="tiled_layer_norm"):
    """Normalise the features of each token, so many vectors of tokens in a parallel iteration."""

    epsilon: float
    vectors: int
    layout: TokenLayout

    def __call__(
        self, data: Expr, gamma: Expr, beta: Expr, residual: Expr | None = None
    ) -> relax.Call:
        """Return a call; the residual is added to data before."""
        return self.call(data, gamma, beta, residual)

    def infer_type(self, data: Expr, *_: Expr) -> relax.TensorType:
        return tensor_type(static_shape(data))

    def kernel(
        self, data: Expr, _gamma: Expr, _beta: Expr, residual: Expr | None = None
    ) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        features, added = static_shape(data)[1], residual is not None
        return (
            KernelFacts("layer_norm", features, epilogue=Epilogue(residual=added)),
            made(make_layer_norm, self.layout, features, self.epsilon, self.vectors, added),
        )
