"""`tvm_sparse.gather_tokens`: the sum of rows of tables, straight into token tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import static_shape, tensor_type
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.token_layout import make_gather_tokens
from tvm_sparse.ops.operator import Expr, Operator, made


@dataclass(frozen=True)
class GatherTokens(Operator, name="gather_tokens"):
    """Look up the embeddings of tokens and add them up."""

    layout: TokenLayout

    def __call__(self, terms: Sequence[tuple[Expr, Expr]]) -> relax.Call:
        """Return a call; each term is ids (1 or B, S) and the table (rows, F) they look up."""
        return self.call(*(part for term in terms for part in term))

    def infer_type(self, _ids: Expr, table: Expr, *_: Expr) -> relax.TensorType:
        return tensor_type(self.layout.shape(static_shape(table)[1]))

    def kernel(self, *operands: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        tables = tuple(
            (static_shape(table)[0], static_shape(ids)[0], str(ids.ty.dtype))
            for ids, table in zip(operands[::2], operands[1::2], strict=True)
        )
        features = static_shape(operands[1])[1]
        return KernelFacts("gather_tokens"), made(make_gather_tokens, self.layout, features, tables)
