"""`tvm_sparse.sparse_dense`: row-major data by a plain BSR weight.

The operator that a user meets in the printed module.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from tvm import relax

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.token_layout import choose_layout, split_rows
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.ir.expressions import static_shape, tensor_shape, tensor_type
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.ops.operator import Expr, Operator
from tvm_sparse.ops.pack_tokens import PackTokens
from tvm_sparse.ops.tiled_sparse_dense import TiledSparseDense
from tvm_sparse.ops.unpack_tokens import UnpackTokens
from tvm_sparse.target import resolve_target


@dataclass(frozen=True)
class SparseDense(Operator, name="sparse_dense"):
    """Multiply row-major data by a transposed block-sparse weight."""

    activation: str = "none"

    def __call__(
        self,
        data: Expr,
        weight_data: Expr,
        weight_indices: Expr,
        weight_indptr: Expr,
        bias: Expr | None = None,
    ) -> relax.Call:
        """Return a call: float32 (..., K) by a BSR triple to float32 (..., N).

        The triple is float32 (nnzb, bs_r, bs_c), int32 (nnzb,) and int32 (N / bs_r + 1,), the bias
        float32 (N,).
        """
        return self.call(data, weight_data, weight_indices, weight_indptr, bias)

    def infer_type(
        self, data: Expr, weight_data: Expr, _indices: Expr, weight_indptr: Expr, *_: Expr
    ) -> relax.TensorType:
        units = (static_shape(weight_indptr)[0] - 1) * static_shape(weight_data)[1]
        return tensor_type([*tensor_shape(data)[:-1], units])

    def legalize(self, bb: relax.BlockBuilder, call: relax.Call) -> Expr:
        """Tile, multiply, untile: for a call outside of the pipeline."""
        data, weight_data, weight_indices, weight_indptr, *bias = call.args
        *lead, depth = static_shape(data)
        nnzb, bs_r, bs_c = static_shape(weight_data)
        num_block_rows = static_shape(weight_indptr)[0] - 1
        target = resolve_target()
        layout = choose_layout(1, prod(lead), target, bs_r)
        tokens = bb.emit(relax.op.reshape(data, (1, layout.seq_len, depth)))
        # A BSR triple is a `PackedBSR` of one lane, one panel and one chunk.
        blocks = bb.emit(relax.op.permute_dims(weight_data, [0, 2, 1]))
        stride = relax.const(bs_c * layout.token_tile, "int32")
        offsets = bb.emit(relax.op.multiply(weight_indices, stride))
        rows = np.arange(num_block_rows, dtype=np.int32)[:, None] * bs_r
        chunks = np.array([[0, num_block_rows * bs_r, 0, num_block_rows]], np.int32)
        weight = (
            bb.emit(relax.op.reshape(blocks, (nnzb, 1, bs_c, bs_r))),
            bb.emit(relax.op.reshape(offsets, (nnzb, 1))),
            weight_indptr,
            relax.const(rows, "int32"),
            relax.const(chunks, "int32"),
        )
        epilogue = Epilogue(bias=bool(bias), activation=self.activation)
        multiply = TiledSparseDense(
            ProductShape(num_block_rows * bs_r, depth, layout, (bs_r, bs_c)),
            epilogue,
            SparseFormat(layout.token_tile),
            split_rows(layout, target),
        )
        product = multiply(bb.emit(PackTokens(layout)(tokens)), weight, *bias)
        unpacked = bb.emit(UnpackTokens(layout)(bb.emit(product)))
        return relax.op.reshape(unpacked, call.ty.shape)
