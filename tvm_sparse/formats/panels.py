"""Dense float32 weights in panels of rows.

A panel (rows x K) is read front to back and stays in L1 while it meets one token tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.formats.token_layout import TokenLayout, split_rows
from tvm_sparse.formats.weight_format import ProductShape, Weight, WeightFormat
from tvm_sparse.target import CpuTarget


@dataclass(frozen=True)
class DenseFormat(WeightFormat):
    """Panels of so many rows, outputs, the last one padded with zero rows."""

    rows: int

    name = "dense float32"
    arrays: ClassVar[tuple[str, ...]] = ("",)
    kernels: ClassVar[tuple[str, ...]] = ("packed_dense", "row_dense")

    @classmethod
    def choose(cls, shape: ProductShape, target: CpuTarget) -> DenseFormat:
        """Choose the rows of a register tile, or of an open layout a vector of outputs."""
        layout = shape.layout
        if layout.is_open:
            return cls(layout.lanes)
        rows = cls.tuned_rows(shape, target)
        if rows is not None:
            return cls(rows)
        rows = cls.most_rows(layout, target)
        # Even row counts divide the usual layer widths; 24 and 12 do as well as the most that fit.
        return cls(next(choice for choice in (24, 12, 6, 4, 3, 2, 1) if choice <= rows))

    @classmethod
    def tuned_rows(cls, shape: ProductShape, target: CpuTarget) -> int | None:
        """Return the rows that tuning found for a product, None if it was not tuned."""
        return target.tiles.dense_rows(shape.units, shape.depth, shape.layout.vectors, cls.dtype)

    @classmethod
    def most_rows(cls, layout: TokenLayout, target: CpuTarget) -> int:
        """Return the most rows that the registers accumulate at once beside tokens of a layout."""
        return split_rows(layout, target)

    @property
    def tile(self) -> int:
        """Outputs of a panel."""
        return self.rows

    def pack(self, weight: Weight, depth: int) -> tuple[NDArray[Any], ...]:
        """Return the panels: one array of (ceil(N / rows), K, rows)."""
        (matrix,) = weight
        units = len(matrix)
        panels = -(-units // self.rows)
        padded = np.zeros((panels * self.rows, depth), matrix.dtype)
        padded[:units] = matrix
        in_panels = padded.reshape(panels, self.rows, depth).transpose(0, 2, 1)
        return (np.ascontiguousarray(in_panels),)

    @classmethod
    def stack(cls, weights: Sequence[Weight]) -> Weight:
        """Return the matrices as one."""
        matrices = [matrix for (matrix,) in weights]
        return (matrices[0] if len(matrices) == 1 else np.concatenate(matrices),)

    @classmethod
    def bytes_per_weight(cls, block_shape: tuple[int, int] = (0, 0)) -> float:
        """Return the bytes of a value."""
        return cls.value_bytes()

    def size_bytes(
        self, shape: tuple[int, int], block_shape: tuple[int, int] = (0, 0), density: float = 1.0
    ) -> float:
        """Return the bytes of whole panels, whatever the values are."""
        units, depth = shape
        return self.value_bytes() * -(-units // self.rows) * self.rows * depth
