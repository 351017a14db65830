"""`tvm_sparse.tiled_sparse_dense_int8`: quantised token tiles by blocks of words."""

from __future__ import annotations

from dataclasses import dataclass, replace

import tvm

from tvm_sparse.formats.int8_bsr import (
    FastInt8SparseFormat,
    Int8SparseFormat,
    WideInt8SparseFormat,
)
from tvm_sparse.formats.int8_panels import int8_rows
from tvm_sparse.formats.quantized import GRADES
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.bsr_sparse_dense import make_bsr_sparse_dense
from tvm_sparse.kernels.token_tiles import ALWAYS_SHARED, Work
from tvm_sparse.ops.operator import Expr, made
from tvm_sparse.ops.product import ProductOperator
from tvm_sparse.target import CpuTarget, pays_in_parallel


@dataclass(frozen=True)
class TiledSparseDenseInt8(
    ProductOperator, name="tiled_sparse_dense_int8", weights=Int8SparseFormat
):
    """Multiply quantised token tiles by a block-sparse weight.

    At most so many rows of a block are accumulated together.
    """

    form: Int8SparseFormat
    rows: int
    work: Work = ALWAYS_SHARED

    takes_words = True

    @classmethod
    def choose(
        cls, shape: ProductShape, epilogue: Epilogue, form: Int8SparseFormat, target: CpuTarget
    ) -> TiledSparseDenseInt8:
        grade = GRADES[form.grade]
        rows = int8_rows(shape.layout, target, grade)
        operations = 2.0 * shape.units * shape.depth * shape.density / grade.speed
        # What is stored is few enough to count real tokens rather than those of whole tiles.
        kept = shape.layout.kept_values(shape.units)
        pays = pays_in_parallel(shape.flops / grade.speed, kept)
        work = Work.of(shape.layout, operations, shape.units)
        return cls(shape, epilogue, form, rows, replace(work, pays=pays))

    def kernel(self, *_: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        shape = self.shape
        return self.facts("sparse_dense", self.form), made(
            make_bsr_sparse_dense,
            *(shape.layout, shape.units, shape.depth, shape.block_shape),
            *(self.rows, self.epilogue, self.form, self.work),
        )


@dataclass(frozen=True)
class TiledSparseDenseWideInt8(
    TiledSparseDenseInt8, name="tiled_sparse_dense_wide_int8", weights=WideInt8SparseFormat
):
    """The same of a weight that is kept in 16 bits."""

    form: WideInt8SparseFormat


@dataclass(frozen=True)
class TiledSparseDenseFastInt8(
    TiledSparseDenseInt8, name="tiled_sparse_dense_fast_int8", weights=FastInt8SparseFormat
):
    """The same of a weight that may be rounded for longer sums of 16 bits."""

    form: FastInt8SparseFormat
