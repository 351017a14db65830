"""The table from TensorFlow op to converter, one family per module."""

from __future__ import annotations

from tvm_sparse.importers.tensorflow.converters import (
    activations,
    comparison,
    convolution,
    creation,
    diagonals,
    elementwise,
    gather,
    image,
    matmul,
    normalization,
    reductions,
    shape,
    slicing,
)
from tvm_sparse.importers.tensorflow.converters.node import Converter

FAMILIES: dict[str, dict[str, Converter]] = {
    "Element-wise arithmetic and casts": elementwise.CONVERTERS,
    "Activations": activations.CONVERTERS,
    "Comparisons, logic and selection": comparison.CONVERTERS,
    "Reductions, running sums, positions": reductions.CONVERTERS,
    "Matrix products": matmul.CONVERTERS,
    "Shapes, joining and splitting": shape.CONVERTERS,
    "Slices and padding": slicing.CONVERTERS,
    "Gathers and one-hot": gather.CONVERTERS,
    "Constants, ranges and shape questions": creation.CONVERTERS,
    "Diagonals and bands": diagonals.CONVERTERS,
    "Convolutions and pooling": convolution.CONVERTERS,
    "Normalisation": normalization.CONVERTERS,
    "Image resizing": image.CONVERTERS,
}

CONVERTERS: dict[str, Converter] = {
    tf_op: converter for family in FAMILIES.values() for tf_op, converter in family.items()
}
