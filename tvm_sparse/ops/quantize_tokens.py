"""`tvm_sparse.quantize_tokens`: token tiles as words of small integers."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.quantized import TOKEN_WORDS, WORD
from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.quantize_tokens import make_quantize_tokens
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import features_of, tiled_type


@dataclass(frozen=True)
class QuantizeTokens(Operator, name="quantize_tokens"):
    """Round the values of each token, so many vectors of tokens in a parallel iteration."""

    vectors: int
    layout: TokenLayout

    def __call__(
        self, data: Expr, factors: Expr | None = None, tile_map: Expr | None = None
    ) -> relax.Call:
        """Return a call; features are multiplied by factors (F,) before, if there are any.

        An open layout needs its tile map.
        """
        return self.call(data, factors, tile_map)

    def infer_type(self, data: Expr, *_: Expr) -> relax.TensorType:
        return tiled_type(self.layout, features_of(data) // WORD + TOKEN_WORDS, "int32")

    def kernel(self, data: Expr, *others: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        features, smoothed = features_of(data), len(others) > self.layout.is_open
        return (
            KernelFacts("quantize_tokens", features),
            made(make_quantize_tokens, self.layout, features, self.vectors, smoothed),
        )
