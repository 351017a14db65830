"""The table of ONNX operators, one family a module."""

from __future__ import annotations

from tvm_sparse.importers.onnx.operators import (
    activations,
    attention,
    convolution,
    elementwise,
    gather,
    logic,
    normalization,
    products,
    reductions,
    shape,
    slicing,
)
from tvm_sparse.importers.onnx.operators.operator import Convert

FAMILIES: dict[str, dict[str, Convert]] = {
    "Element-wise arithmetic and casts": elementwise.OPERATORS,
    "Activations": activations.OPERATORS,
    "Comparisons, logic and selection": logic.OPERATORS,
    "Reductions and running sums": reductions.OPERATORS,
    "Matrix products": products.OPERATORS,
    "Attention": attention.OPERATORS,
    "Normalisation": normalization.OPERATORS,
    "Shapes, joining and broadcasts": shape.OPERATORS,
    "Slices, splits and padding": slicing.OPERATORS,
    "Look-ups": gather.OPERATORS,
    "Convolutions and pooling": convolution.OPERATORS,
}

OPERATORS: dict[str, Convert] = {
    name: operator for family in FAMILIES.values() for name, operator in family.items()
}
