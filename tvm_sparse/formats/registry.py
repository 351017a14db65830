"""All weight formats."""

from __future__ import annotations

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.builds import BuildSpec
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.weight_format import WeightFormat

FORMATS: dict[str, type[WeightFormat]] = {kind.name: kind for kind in (DenseFormat, SparseFormat)}


def format_of(kernel: str, dtype: str = "float32") -> type[WeightFormat] | None:
    """Return the format of the weights that a kind of kernel reads, None if it reads none."""
    for kind in FORMATS.values():
        if kernel in kind.kernels and kind.dtype == dtype:
            return kind
    return None


def weights_of(build: BuildSpec, is_sparse: bool) -> type[WeightFormat]:
    """Return the format of a layer of a build that runs sparse, or dense."""
    return FORMATS[build.sparse if is_sparse and build.sparse else build.dense]
