"""`tvm_sparse.gather_tokens`: the sum of rows of tables, straight into token tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import static_shape
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.token_layout import make_gather_tokens
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import batch_extent, tiled_type


@dataclass(frozen=True)
class GatherTokens(Operator, name="gather_tokens"):
    """Look up the embeddings of tokens and add them up."""

    layout: TokenLayout

    def __call__(
        self, terms: Sequence[tuple[Expr, Expr]], tile_map: Expr | None = None
    ) -> relax.Call:
        """Return a call; each term is ids (1 or B, S) and the table (rows, F) they look up.

        An open layout needs its tile map.
        """
        return self.call(*(part for term in terms for part in term), tile_map)

    def infer_type(self, _ids: Expr, table: Expr, *_: Expr) -> relax.TensorType:
        return tiled_type(self.layout, static_shape(table)[1])

    def kernel(self, *operands: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        terms = operands[:-1] if self.layout.is_open else operands
        tables = tuple(
            (static_shape(table)[0], batch_extent(ids), str(ids.ty.dtype))
            for ids, table in zip(terms[::2], terms[1::2], strict=True)
        )
        features = static_shape(operands[1])[1]
        return KernelFacts("gather_tokens"), made(make_gather_tokens, self.layout, features, tables)
