"""`tvm_sparse.row_dense`: a few rows by a dense weight in panels."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.ir.expressions import static_shape, tensor_shape, tensor_type
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.row_dense import make_row_dense
from tvm_sparse.ops.operator import Expr, Operator, made
from tvm_sparse.ops.tiled import batch_extent, features_of


@dataclass(frozen=True)
class RowDense(Operator, name="row_dense"):
    """Multiply a few rows (M, K) by a weight of N `units` in panels, see `formats.panels`.

    M is a number, or what the run says.

    Vectors have so many float32 lanes.
    """

    units: int
    lanes: int
    epilogue: Epilogue

    def __call__(
        self, data: Expr, weight: Expr, bias: Expr | None = None, residual: Expr | None = None
    ) -> relax.Call:
        """Return a call."""
        return self.call(data, weight, bias, residual)

    def infer_type(self, data: Expr, *_: Expr) -> relax.TensorType:
        return tensor_type([tensor_shape(data)[0], self.units])

    def kernel(self, data: Expr, weight: Expr, *_: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        rows, depth = batch_extent(data), features_of(data)
        panel = static_shape(weight)[2]
        return (
            KernelFacts("row_dense", self.units, depth, epilogue=self.epilogue),
            made(make_row_dense, rows, self.units, depth, panel, self.lanes, self.epilogue),
        )
