"""`tvm_sparse.packed_dense`: token tiles by a dense weight in panels."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.ir.expressions import static_shape, tensor_type
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.kernels.tiling import TokenLayout
from tvm_sparse.ops.operator import Expr, Operator, made


@dataclass(frozen=True)
class PackedDense(Operator, name="packed_dense"):
    """Multiply token tiles by a weight packed with `packed_dense.pack_dense`.

    Attributes
    ----------
    units : int
        N, the outputs.
    epilogue : Epilogue
        Fused operations.
    layout : TokenLayout
        Of data, residual and result.
    """

    units: int
    epilogue: Epilogue
    layout: TokenLayout

    def __call__(
        self, data: Expr, weight: Expr, bias: Expr | None = None, residual: Expr | None = None
    ) -> relax.Call:
        """Return a call."""
        return self.call(data, weight, bias, residual)

    def infer_type(self, *_: Expr) -> relax.TensorType:
        return tensor_type(self.layout.shape(self.units))

    def kernel(self, _data: Expr, weight: Expr, *_: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        depth, rows = static_shape(weight)[1:]
        return (
            KernelFacts("packed_dense", self.units, depth, epilogue=self.epilogue),
            made(make_packed_dense, self.layout, self.units, depth, rows, self.epilogue),
        )
