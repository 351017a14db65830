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
from tvm_sparse.formats.quantized import WORD
from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.formats.weight_format import ProductShape, WeightFormat
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
    sparse = build.sparse and (FORMATS[build.sparse].wide or build.sparse)
    return replace(build, dense=FORMATS[build.dense].wide or build.dense, sparse=sparse)


def unrounded(weights: type[WeightFormat]) -> type[WeightFormat]:
    """Return the format of a layer that a format refuses: weights as they are."""
    return FORMATS[weights.unrounded] if weights.unrounded else weights


def rounds_blocks(build: BuildSpec, block_shape: tuple[int, int]) -> bool:
    """Return whether a build's sparse layers are rounded to 8 bits in blocks (bs_r, bs_c)."""
    weights, (bs_r, bs_c) = weights_of(build, is_sparse=True), block_shape
    # Of inputs that are whole words, whichever the blocks.
    shape = ProductShape(bs_r, WORD * bs_c, TokenLayout(1, 1, 1, 1), block_shape)
    return weights.unrounded is not None and not weights.refusal(shape)


def target_of(build: BuildSpec, target: CpuTarget) -> CpuTarget:
    """Return the CPU a build is for, with the tiles that it can use.

    Extensions are for products of integers alone.
    """
    tiles = target.tiles.of_build(FORMATS[build.dense].dtype)
    target = replace(target, tiles=tiles)
    names = [name for name in (build.dense, build.sparse) if name]
    if any(FORMATS[name].dtype.startswith("int") for name in names):
        return target
    return target.without_extensions()
