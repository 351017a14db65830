"""Dense weights of eight bits in panels of rows, words of four inputs instead of floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.formats.int8_tiles import PAIR, pack_tiles, packed_depth
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.quantized import (
    AMX,
    GRADES,
    WIDE,
    WORD,
    Grade,
    as_words,
    grade_of,
    quantize_rows,
)
from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.formats.weight_format import ProductShape, Weight
from tvm_sparse.target import CpuTarget

#: Rows of a register tile by grade and number of registers, for two vectors of tokens; what does
#: not fit beside the sums are the tokens, a weight, and what a word's products pass through.
_ROWS = {
    ("exact", 16): 4,
    ("exact", 32): 11,
    ("fast", 16): 2,
    ("fast", 32): 6,
    ("vnni", 16): 6,
    ("vnni", 32): 12,
    ("wide", 16): 4,
    ("wide", 32): 11,
}


@dataclass(frozen=True)
class Int8DenseFormat(DenseFormat):
    """Panels of so many rows, rounded for a grade (`quantized.GRADES`).

    For AMX they are pairs of tiles (`formats.int8_tiles`).
    """

    grade: str

    name = "dense int8"
    dtype = "int8"
    arrays = ("words", "scales", "sums")
    kernels = ("packed_dense",)
    unrounded = DenseFormat.name
    wide = "dense int16"

    @classmethod
    def refusal(cls, shape: ProductShape) -> str:
        """Return that whole words are needed where they are not there."""
        return cls.depth_refusal(shape.depth)

    @classmethod
    def depth_refusal(cls, depth: int) -> str:
        """Return why so many inputs are no whole words; empty where they are."""
        return f"K = {depth} is no multiple of {WORD}" if depth % WORD else ""

    @classmethod
    def choose(cls, shape: ProductShape, target: CpuTarget) -> Int8DenseFormat:
        """Choose the rows of a register tile."""
        grade = cls.grade_for(target)
        if grade == AMX:
            return cls(PAIR, grade.name)
        tuned = cls.tuned_rows(shape, target)
        return cls(tuned or int8_rows(shape.layout, target, grade), grade.name)

    @classmethod
    def most_rows(cls, layout: TokenLayout, target: CpuTarget) -> int:
        """Return the most rows that the registers accumulate at once beside tokens of a layout."""
        grade = cls.grade_for(target)
        return PAIR if grade == AMX else most_int8_rows(layout, target, grade)

    @classmethod
    def grade_for(cls, target: CpuTarget) -> Grade:
        """Return the grade that a CPU has for this format."""
        return grade_of(target, is_dense=True)

    def pack(self, weight: Weight, depth: int) -> tuple[NDArray[Any], ...]:
        """Return panels, scales and sums.

        Words int32 (ceil(N / rows), K / 4, rows), twice as many in 16 bits, or as `pack_tiles` has
        them; float32 (N,); int32 (N,), of the integers of a row: what the zero point of the
        activations is taken times.
        """
        (matrix,) = weight
        grade = GRADES[self.grade]
        values, scales = quantize_rows(matrix.reshape(len(matrix), -1, WORD), grade)
        if grade == AMX:
            panels = pack_tiles(values.reshape(matrix.shape))
        else:
            (panels,) = super().pack([as_words(values, grade)], depth // WORD)
        return panels.view(np.int32), scales, values.sum(axis=(1, 2), dtype=np.int32)

    def size_bytes(
        self, shape: tuple[int, int], block_shape: tuple[int, int] = (0, 0), density: float = 1.0
    ) -> float:
        """Return the bytes of whole panels, and of a scale and a sum for every row."""
        units, depth = shape
        stored = packed_depth(depth) if self.grade == AMX.name else depth
        return super().size_bytes((units, stored)) + 8 * units


@dataclass(frozen=True)
class FastInt8DenseFormat(Int8DenseFormat):
    """The same for sums of 16 bits over several words, where a CPU has no products of words."""

    name = "dense int8 fast"
    dtype = "int8-fast"

    @classmethod
    def grade_for(cls, target: CpuTarget) -> Grade:
        """Return the grade that a CPU has for this format."""
        return grade_of(target, fast=True, is_dense=True)


@dataclass(frozen=True)
class WideInt8DenseFormat(Int8DenseFormat):
    """The same with weights of 16 bits in memory, for integers that come with a checkpoint."""

    name = "dense int16"
    dtype = "int16"

    @classmethod
    def grade_for(cls, target: CpuTarget) -> Grade:
        """Return the grade that has room for all integers of eight bits."""
        grade_of(target)  # refuses a CPU without
        return WIDE


def int8_rows(layout: TokenLayout, target: CpuTarget, grade: Grade) -> int:
    """Return the rows that a kernel accumulates at once beside tokens of a layout."""
    most = most_int8_rows(layout, target, grade)
    return next(choice for choice in (24, 12, 6, 5, 4, 3, 2, 1) if choice <= most)


def most_int8_rows(layout: TokenLayout, target: CpuTarget, grade: Grade) -> int:
    """Return the most rows that the registers accumulate at once beside tokens of a layout."""
    return max(1, _ROWS[grade.name, target.num_registers] * 2 // layout.vectors)
