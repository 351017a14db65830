"""Block-sparse weights of eight bits: blocks of words, packed as blocks of floats are.

A block (bs_r, bs_c) is one of (bs_r, bs_c / 4) words, which groups, panels and offsets treat as
they treat floats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.bsr_tiles import choose_packing
from tvm_sparse.formats.quantized import GRADES, WORD, as_words, grade_of, quantize_rows
from tvm_sparse.formats.weight_format import ProductShape, Weight
from tvm_sparse.target import CpuTarget


@dataclass(frozen=True)
class Int8SparseFormat(SparseFormat):
    """How the blocks are ordered, and for which grade (`quantized.GRADES`) they are rounded.

    Its lanes, panels and chunks are those of a `SparseFormat` of words.
    """

    grade: str = "exact"

    name = "BSR int8"
    dtype = "int8"
    arrays = ("data", "offsets", "groups", "rows", "chunks", "scales", "sums")
    unrounded = SparseFormat.name

    @classmethod
    def refusal(cls, shape: ProductShape) -> str:
        """Return that a row of a block has to be whole words where it is not."""
        bs_r, bs_c = shape.block_shape
        if bs_c % WORD:
            return f"blocks of {bs_r}x{bs_c}: bs-c is no multiple of {WORD}"
        return ""

    @classmethod
    def choose(cls, shape: ProductShape, target: CpuTarget) -> Int8SparseFormat:
        """Choose lanes, panels, chunks and lookahead."""
        grade = grade_of(target)
        untuned = replace(target, tiles=type(target.tiles)())
        packing = choose_packing(in_words(shape), untuned)
        return cls(shape.layout.token_tile, *packing, grade.name)

    def pack(self, weight: Weight, depth: int) -> tuple[NDArray[Any], ...]:
        """Return the arrays of a `PackedBSR` of words, the scales and the sums of the rows.

        The latter are float32 and int32, (N,).
        """
        data, indices, indptr = weight
        nnzb, bs_r, bs_c = data.shape
        block = bs_c // WORD
        words = np.empty((nnzb, bs_r, block), np.int32)
        scales = np.empty((len(indptr) - 1, bs_r), np.float32)
        sums = np.zeros((len(indptr) - 1, bs_r), np.int32)
        starts = indptr.astype(np.int64) * block
        for row in range(bs_r):
            values, scales[:, row] = quantize_rows(
                data[:, row].reshape(-1, WORD), GRADES[self.grade], starts
            )
            words[:, row] = as_words(values).reshape(nnzb, block)
            total = np.concatenate([[0], values.sum(axis=1, dtype=np.int64).cumsum()])
            sums[:, row] = total[starts[1:]] - total[starts[:-1]]
        packed = super().pack([words, indices, indptr], depth // WORD)
        return *packed, scales.ravel(), sums.ravel()

    def size_bytes(
        self, shape: tuple[int, int], block_shape: tuple[int, int] = (0, 0), density: float = 1.0
    ) -> float:
        """Return the bytes of the blocks, and of a scale and a sum for every row."""
        return super().size_bytes(shape, block_shape, density) + 8 * shape[0]


def in_words(shape: ProductShape) -> ProductShape:
    """Return a product of words instead of single values."""
    bs_r, bs_c = shape.block_shape
    return replace(shape, depth=shape.depth // WORD, block_shape=(bs_r, bs_c // WORD))
