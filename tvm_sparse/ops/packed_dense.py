"""`tvm_sparse.packed_dense`: token tiles by a dense weight in panels."""

from __future__ import annotations

from dataclasses import dataclass

import tvm

from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.ops.operator import Expr, made
from tvm_sparse.ops.product import ProductOperator
from tvm_sparse.target import CpuTarget


@dataclass(frozen=True)
class PackedDense(ProductOperator, name="packed_dense", weights=DenseFormat):
    """Multiply token tiles by a dense weight."""

    form: DenseFormat

    @classmethod
    def choose(
        cls, shape: ProductShape, epilogue: Epilogue, form: DenseFormat, target: CpuTarget
    ) -> PackedDense:
        return cls(shape, epilogue, form)

    def kernel(self, *_: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        shape, rows = self.shape, self.form.rows
        return self.facts("packed_dense", self.form), made(
            make_packed_dense, shape.layout, shape.units, shape.depth, rows, self.epilogue
        )
