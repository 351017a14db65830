"""`tvm_sparse.tiled_sparse_dense`: token tiles by a packed block-sparse weight."""

from __future__ import annotations

from dataclasses import dataclass, replace

import tvm

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.token_layout import split_rows
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.bsr_sparse_dense import make_bsr_sparse_dense
from tvm_sparse.kernels.token_tiles import ALWAYS_SHARED, Work
from tvm_sparse.ops.operator import Expr, made
from tvm_sparse.ops.product import ProductOperator
from tvm_sparse.target import CpuTarget, pays_in_parallel


@dataclass(frozen=True)
class TiledSparseDense(ProductOperator, name="tiled_sparse_dense", weights=SparseFormat):
    """Multiply token tiles by a block-sparse weight.

    At most so many rows of a block are accumulated together.
    """

    form: SparseFormat
    rows: int
    work: Work = ALWAYS_SHARED

    @classmethod
    def choose(
        cls, shape: ProductShape, epilogue: Epilogue, form: SparseFormat, target: CpuTarget
    ) -> TiledSparseDense:
        rows = split_rows(shape.layout, target)
        operations = 2.0 * shape.units * shape.depth * shape.density
        work = Work.of(shape.layout, operations, shape.units)
        # What is stored is few enough to count real tokens rather than those of whole tiles.
        pays = pays_in_parallel(shape.flops, shape.layout.kept_values(shape.units))
        return cls(shape, epilogue, form, rows, replace(work, pays=pays))

    @property
    def takes_any_size(self) -> bool:
        return self.shape.layout.is_open

    def kernel(self, *operands: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        shape, sizes, form = self.shape, (self.shape.units, self.shape.depth), self.form
        work, columns = self.work, shape.block_shape[1]
        if self.takes_any_size:
            sizes, form = (0, 0), form.of_any_size(shape.depth // columns, columns)
            work = Work(pays=True, alone=min(work.alone, 1))
        return self.facts("sparse_dense", self.form, sizes), made(
            make_bsr_sparse_dense,
            *(shape.layout, *sizes, shape.block_shape, self.rows, self.tail(operands)),
            *(form, work),
        )
