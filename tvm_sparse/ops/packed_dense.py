"""`tvm_sparse.packed_dense`: token tiles by a dense weight in panels."""

from __future__ import annotations

from dataclasses import dataclass

import tvm

from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.open_dense import make_open_dense
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.kernels.tiling import panels_together
from tvm_sparse.ops.operator import Expr, made
from tvm_sparse.ops.product import ProductOperator
from tvm_sparse.target import CpuTarget


@dataclass(frozen=True)
class PackedDense(ProductOperator, name="packed_dense", weights=DenseFormat):
    """Multiply token tiles by a dense weight.

    Of an open layout so many panels are taken together.
    """

    form: DenseFormat
    together: int = 1

    @classmethod
    def choose(
        cls, shape: ProductShape, epilogue: Epilogue, form: DenseFormat, target: CpuTarget
    ) -> PackedDense:
        if not shape.layout.is_open:
            return cls(shape, epilogue, form)
        together = panels_together(shape.layout, shape.units, target)
        return cls(shape, epilogue, form, together)

    @property
    def takes_any_size(self) -> bool:
        layout = self.shape.layout
        return layout.is_open and self.shape.units % layout.lanes == 0

    def kernel(self, *operands: Expr) -> tuple[KernelFacts, tvm.tirx.PrimFunc]:
        shape, sizes = self.shape, (self.shape.units, self.shape.depth)
        if not shape.layout.is_open:
            product = (shape.layout, *sizes, self.form.rows, self.epilogue)
            return self.facts("packed_dense", self.form), made(make_packed_dense, *product)
        if self.takes_any_size:
            sizes = 0, 0
        product = (shape.layout, *sizes, self.together, self.tail(operands))
        return self.facts("packed_dense", self.form, sizes), made(make_open_dense, *product)
