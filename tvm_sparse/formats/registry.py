"""All weight formats."""

from __future__ import annotations

from dataclasses import replace

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.builds import BuildSpec
from tvm_sparse.formats.int8_bsr import (
    FastInt8SparseFormat,
    Int8SparseFormat,
    WideInt8SparseFormat,
)
from tvm_sparse.formats.int8_panels import (
    FastInt8DenseFormat,
    Int8DenseFormat,
    WideInt8DenseFormat,
)
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.weight_format import WeightFormat
from tvm_sparse.target import CpuTarget

FORMATS: dict[str, type[WeightFormat]] = {
    kind.name: kind
    for kind in (
        DenseFormat,
        SparseFormat,
        Int8DenseFormat,
        FastInt8DenseFormat,
        Int8SparseFormat,
        FastInt8SparseFormat,
        WideInt8DenseFormat,
        WideInt8SparseFormat,
    )
}


def format_of(kernel: str, dtype: str = "float32") -> type[WeightFormat] | None:
    """Return the format of the weights that a kind of kernel reads, None if it reads none."""
    for kind in FORMATS.values():
        if kernel in kind.kernels and kind.dtype == dtype:
            return kind
    return None


def weights_of(build: BuildSpec, is_sparse: bool) -> type[WeightFormat]:
    """Return the format of a layer of a build that runs sparse, or dense."""
    return FORMATS[build.sparse if is_sparse and build.sparse else build.dense]


def widened(build: BuildSpec) -> BuildSpec:
    """Return the build whose sums have room for all integers that a checkpoint comes with."""
    sparse = FORMATS[build.sparse].wide if build.sparse else None
    return replace(build, dense=FORMATS[build.dense].wide or build.dense, sparse=sparse)


def unrounded(weights: type[WeightFormat]) -> type[WeightFormat]:
    """Return the format of a layer that a format refuses: weights as they are."""
    return FORMATS[weights.unrounded] if weights.unrounded else weights


def target_of(build: BuildSpec, target: CpuTarget) -> CpuTarget:
    """Return the CPU a build is for: its extensions are for products of integers alone."""
    names = [name for name in (build.dense, build.sparse) if name]
    if any(FORMATS[name].dtype.startswith("int") for name in names):
        return target
    return target.without_extensions()
