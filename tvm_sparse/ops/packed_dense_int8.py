"""`tvm_sparse.packed_dense_int8`: quantised token tiles by a dense weight in panels of words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm

from tvm_sparse.formats.int8_panels import (
    FastInt8DenseFormat,
    Int8DenseFormat,
    WideInt8DenseFormat,
)
from tvm_sparse.formats.quantized import AMX
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.kernels.tile_dense import make_tile_dense
from tvm_sparse.ops.operator import Expr, made
from tvm_sparse.ops.product import ProductOperator
from tvm_sparse.target import CpuTarget


@dataclass(frozen=True)
class PackedDenseInt8(ProductOperator, name="packed_dense_int8", weights=Int8DenseFormat):
    """Multiply quantised token tiles by a dense weight."""

    form: Int8DenseFormat

    takes_words = True

    @classmethod
    def choose(
        cls, shape: ProductShape, epilogue: Epilogue, form: Any, target: CpuTarget
    ) -> PackedDenseInt8:
        return cls(shape, epilogue, form)

    def kernel(self, *_: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        shape, form = self.shape, self.form
        if form.grade == AMX.name:
            product = (shape.layout, shape.units, shape.depth, self.epilogue)
            return self.facts("packed_dense", form), made(make_tile_dense, *product)
        return self.facts("packed_dense", form), made(
            *(make_packed_dense, shape.layout, shape.units, shape.depth),
            *(form.rows, self.epilogue, form.grade),
        )


@dataclass(frozen=True)
class PackedDenseWideInt8(
    PackedDenseInt8, name="packed_dense_wide_int8", weights=WideInt8DenseFormat
):
    """The same of a weight that is kept in 16 bits."""

    form: WideInt8DenseFormat


@dataclass(frozen=True)
class PackedDenseFastInt8(
    PackedDenseInt8, name="packed_dense_fast_int8", weights=FastInt8DenseFormat
):
    """The same of a weight that is rounded for longer sums of 16 bits."""

    form: FastInt8DenseFormat
