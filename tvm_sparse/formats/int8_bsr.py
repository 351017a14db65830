"""Block-sparse weights of eight bits: blocks of words, packed as blocks of floats are.

A block (bs_r, bs_c) is one of (bs_r, bs_c / 4) words, which groups, panels and offsets treat as
they treat floats. Narrower ones come apart into columns, four of which make one of (bs_r, 1) words
(`formats.quads`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.formats.bsr import SparseFormat, panel_start
from tvm_sparse.formats.bsr_tiles import choose_packing
from tvm_sparse.formats.quads import form_quads
from tvm_sparse.formats.quantized import (
    FAST,
    GRADES,
    VNNI,
    WIDE,
    WORD,
    Grade,
    as_words,
    grade_of,
    quantize_rows,
)
from tvm_sparse.formats.token_layout import HIGH_BLOCK_ROWS
from tvm_sparse.formats.weight_format import ProductShape, Weight
from tvm_sparse.target import CpuTarget

#: Sums of low blocks that longer sums of 16 bits leave room for, by number of registers: with 16
#: there are too few to gain by it.
_FAST_ACCUMULATORS = {16: 0, 32: 8}
#: Values of quads for each that is stored, about: a row has more columns of one place than another.
_FILLED_UP = 1.2


@dataclass(frozen=True)
class Int8SparseFormat(SparseFormat):
    """How the blocks are ordered, and for which grade (`quantized.GRADES`) they are rounded.

    Its lanes, panels and chunks are those of a `SparseFormat` of words.

    Attributes
    ----------
    grade : str
        In what the products of a word are added up.
    quads : bool
        Whether words are of four columns anywhere in a row of blocks.
    """

    grade: str = "exact"
    quads: bool = False

    name = "BSR int8"
    dtype = "int8"
    arrays = ("data", "offsets", "groups", "rows", "chunks", "scales", "sums")
    unrounded = SparseFormat.name
    wide = "BSR int16"

    @classmethod
    def refusal(cls, shape: ProductShape) -> str:
        """Return that whole words are needed where they are not there.

        Words that are put together from four pay where several rows share them.
        """
        bs_r, bs_c = shape.block_shape
        if shape.depth % WORD:
            return f"K = {shape.depth} is no multiple of {WORD}"
        if bs_r == 1 and bs_c % WORD:
            return f"blocks of {bs_r}x{bs_c}: bs-c is no multiple of {WORD}"
        return ""

    @classmethod
    def choose(cls, shape: ProductShape, target: CpuTarget) -> Int8SparseFormat:
        """Choose lanes, panels, chunks and lookahead."""
        grade = cls.grade_for(target)
        packing = choose_packing(in_words(shape), target, cls.tuned(shape, target))
        form = cls(shape.layout.token_tile, *packing, grade.name)
        # Four inputs a step are too many to ask for ahead; they lie in L1 or close to it.
        is_narrow = bool(shape.block_shape[1] % WORD)
        return replace(form, quads=True, lookahead=0) if is_narrow else form

    @classmethod
    def grade_for(cls, target: CpuTarget) -> Grade:
        """Return the grade that a CPU has for this format."""
        return grade_of(target)

    @property
    def inputs(self) -> int:
        """Places from which a lane reads the inputs of a step, each with an offset of its own."""
        return WORD if self.quads else 1

    def pack(self, weight: Weight, depth: int) -> tuple[NDArray[Any], ...]:
        """Return the arrays of a `PackedBSR` of words, the scales and the sums of the rows.

        The latter are float32 and int32, (N,).
        """
        data, indices, indptr = weight
        if self.quads:
            starts = panel_start(np.arange(self.panels), self.panels, depth // WORD)
            data, indices, indptr = form_quads(data, indices, indptr, starts)
        nnzb, bs_r, bs_c = data.shape
        block = bs_c // WORD
        grade = GRADES[self.grade]
        words = np.empty((nnzb, bs_r, block), np.int32 if grade.bits == 8 else np.int64)
        scales = np.empty((len(indptr) - 1, bs_r), np.float32)
        sums = np.zeros((len(indptr) - 1, bs_r), np.int32)
        starts = indptr.astype(np.int64) * block
        for row in range(bs_r):
            values, scales[:, row] = quantize_rows(data[:, row].reshape(-1, WORD), grade, starts)
            words[:, row] = as_words(values, grade).reshape(nnzb, block)
            total = np.concatenate([[0], values.sum(axis=1, dtype=np.int64).cumsum()])
            sums[:, row] = total[starts[1:]] - total[starts[:-1]]
        words, *others = super().pack([words, indices, indptr], depth // WORD)
        return words.view(np.int32), *others, scales.ravel(), sums.ravel()

    @classmethod
    def bytes_per_weight(cls, block_shape: tuple[int, int] = (0, 0)) -> float:
        """Return the bytes of a value and its share of offsets: a quad has 8 bytes of them."""
        bs_r, bs_c = block_shape
        if bs_c % WORD:
            return (cls.value_bytes() + 8 / (WORD * bs_r)) * _FILLED_UP
        return super().bytes_per_weight(block_shape)

    def size_bytes(
        self, shape: tuple[int, int], block_shape: tuple[int, int] = (0, 0), density: float = 1.0
    ) -> float:
        """Return the bytes of the blocks, and of a scale and a sum for every row."""
        return super().size_bytes(shape, block_shape, density) + 8 * shape[0]


@dataclass(frozen=True)
class FastInt8SparseFormat(Int8SparseFormat):
    """The same for sums of 16 bits over several words, where that pays."""

    name = "BSR int8 fast"
    dtype = "int8-fast"

    @classmethod
    def choose(cls, shape: ProductShape, target: CpuTarget) -> FastInt8SparseFormat:
        """Choose lanes, chunks and lookahead; spans of words lie in one panel."""
        form = cls(**vars(super().choose(shape, target)))
        bs_r, bs_c = shape.block_shape
        # Sums of both widths need registers side by side.
        most = _FAST_ACCUMULATORS[target.num_registers] // (bs_r * shape.layout.vectors)
        pays = bs_r >= HIGH_BLOCK_ROWS or most > 0
        if form.grade == VNNI.name or form.quads or FAST.span % (bs_c // WORD) or not pays:
            return form
        lanes = next((n for n in range(most, 1, -1) if form.lanes % n == 0), 1)
        return replace(form, grade=FAST.name, lanes=lanes, panels=1)


@dataclass(frozen=True)
class WideInt8SparseFormat(Int8SparseFormat):
    """The same with weights of 16 bits in memory, for integers that come with a checkpoint."""

    name = "BSR int16"
    dtype = "int16"

    @classmethod
    def grade_for(cls, target: CpuTarget) -> Grade:
        """Return the grade that has room for all integers of eight bits."""
        grade_of(target)  # refuses a CPU without
        return WIDE


def in_words(shape: ProductShape) -> ProductShape:
    """Return a product of words instead of single values."""
    bs_r, bs_c = shape.block_shape
    words = 1 if bs_c % WORD else bs_c // WORD
    return replace(shape, depth=shape.depth // WORD, block_shape=(bs_r, words))
