"""The table of ATen operators, one family a module."""

from __future__ import annotations

from tvm_sparse.importers.torch.operators import (
    activations,
    attention,
    convolution,
    creation,
    elementwise,
    fourier,
    gather,
    logic,
    normalization,
    products,
    reductions,
    shape,
    slicing,
)
from tvm_sparse.importers.torch.operators.operator import Operator

FAMILIES: dict[str, dict[str, Operator]] = {
    "Element-wise arithmetic and casts": elementwise.OPERATORS,
    "Activations": activations.OPERATORS,
    "Comparisons, logic and selection": logic.OPERATORS,
    "Reductions and running sums": reductions.OPERATORS,
    "Matrix products": products.OPERATORS,
    "Fourier transforms": fourier.OPERATORS,
    "Attention": attention.OPERATORS,
    "Normalisation": normalization.OPERATORS,
    "Shapes, joining and broadcasts": shape.OPERATORS,
    "Slices, splits and padding": slicing.OPERATORS,
    "Look-ups": gather.OPERATORS,
    "Constants and ranges": creation.OPERATORS,
    "Convolutions and pooling": convolution.OPERATORS,
}

OPERATORS: dict[str, Operator] = {
    name: operator for family in FAMILIES.values() for name, operator in family.items()
}
