"""`tvm_sparse.tiled_sparse_dense`: token tiles by a packed block-sparse weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.ir.expressions import static_shape, tensor_type
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.bsr_sparse_dense import make_bsr_sparse_dense
from tvm_sparse.kernels.packed_bsr import SparseFormat
from tvm_sparse.kernels.tiling import TokenLayout
from tvm_sparse.ops.operator import Expr, Operator, made


@dataclass(frozen=True)
class TiledSparseDense(Operator, name="tiled_sparse_dense"):
    """Multiply token tiles by a weight given as the five arrays of a `PackedBSR`.

    Attributes
    ----------
    rows : int
        The most rows of a block that are accumulated together.
    epilogue : Epilogue
        Fused operations.
    layout : TokenLayout
        Of data, residual and result.
    form : SparseFormat
        How the weight was packed.
    in_parallel : bool
        Whether threads share the work.
    """

    rows: int
    epilogue: Epilogue
    layout: TokenLayout
    form: SparseFormat
    in_parallel: bool = True

    def __call__(
        self,
        data: Expr,
        weight: Sequence[Expr],
        bias: Expr | None = None,
        residual: Expr | None = None,
    ) -> relax.Call:
        """Return a call."""
        return self.call(data, *weight, bias, residual)

    def infer_type(self, *operands: Expr) -> relax.TensorType:
        num_groups, lanes = static_shape(operands[4])
        bs_r = static_shape(operands[1])[3]
        return tensor_type(self.layout.shape(num_groups // self.form.panels * lanes * bs_r))

    def kernel(self, *operands: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        depth = static_shape(operands[0])[1]
        _, _, bs_c, bs_r = static_shape(operands[1])
        units = int(self.infer_type(*operands).shape[1])
        kernel = made(
            make_bsr_sparse_dense,
            self.layout,
            units,
            depth,
            (bs_r, bs_c),
            self.rows,
            self.epilogue,
            self.form,
            self.in_parallel,
        )
        return KernelFacts("sparse_dense", units, depth, (bs_r, bs_c), self.epilogue), kernel
