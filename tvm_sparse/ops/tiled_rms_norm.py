"""`tvm_sparse.tiled_rms_norm`: RMS normalisation of the features of token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import static_shape
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.rms_norm import make_rms_norm
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import features_of, tiled_type


@dataclass(frozen=True)
class TiledRmsNorm(Operator, name="tiled_rms_norm"):
    """Normalise `groups` of features of each token, from `offset` on, each as wide as gamma.

    So many vectors of tokens are one parallel iteration.
    """

    groups: int
    offset: int
    epsilon: float
    vectors: int
    layout: TokenLayout

    def __call__(self, data: Expr, gamma: Expr, tile_map: Expr | None = None) -> relax.Call:
        """Return a call; an open layout needs its map."""
        return self.call(data, gamma, tile_map)

    def infer_type(self, data: Expr, gamma: Expr, *_: Expr) -> relax.TensorType:
        return tiled_type(self.layout, self.groups * static_shape(gamma)[0])

    def kernel(self, data: Expr, gamma: Expr, *_: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        (width,) = static_shape(gamma)
        within = (self.offset, features_of(data))
        return (
            KernelFacts("rms_norm", self.groups * width),
            made(
                make_rms_norm,
                *(self.layout, width, self.groups, within, self.epsilon, self.vectors),
            ),
        )
