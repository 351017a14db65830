"""`tvm_sparse.token_window`: weighted sums of neighbouring tokens, in token tiles."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.token_window import WindowShape, make_token_window
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import features_of, tiled_type


@dataclass(frozen=True)
class TokenWindow(Operator, name="token_window"):
    """Sum each of `features` over `taps` tokens, from so many `before` each token on.

    The other attributes are those of `WindowShape`.
    """

    features: int
    offset: int
    taps: int
    before: int
    groups: int
    weights_offset: int
    layout: TokenLayout

    def __call__(self, data: Expr, weights: Expr) -> relax.Call:
        """Return a call; the weights are (features, taps), or in tiles where there are groups."""
        return self.call(data, weights)

    def infer_type(self, *_: Expr) -> relax.TensorType:
        return tiled_type(self.layout, self.features)

    def kernel(self, data: Expr, weights: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        shape = WindowShape(
            *(self.features, self.offset, features_of(data), self.taps, self.before),
            *(self.groups, self.weights_offset, features_of(weights) if self.groups else 0),
        )
        facts = KernelFacts("token_window", self.features, self.taps)
        return facts, made(make_token_window, self.layout, shape)
