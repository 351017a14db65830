"""All weight formats."""

from __future__ import annotations

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.weight_format import WeightFormat

FORMATS: dict[str, type[WeightFormat]] = {kind.name: kind for kind in (DenseFormat, SparseFormat)}


def format_of(kernel: str, dtype: str = "float32") -> type[WeightFormat] | None:
    """Return the format of the weights that a kind of kernel reads, None if it reads none."""
    for kind in FORMATS.values():
        if kernel in kind.kernels and kind.dtype == dtype:
            return kind
    return None
