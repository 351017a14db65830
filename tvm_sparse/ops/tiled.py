"""What operators on token tiles know of their operands, whatever the layout."""

from __future__ import annotations

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.dims import BATCH, SEQ_LEN, TILES, Dim, dim
from tvm_sparse.ir.expressions import tensor_shape, tensor_type
from tvm_sparse.ops.operator import Expr


def tiled_type(layout: TokenLayout, features: int, dtype: str = "float32") -> relax.TensorType:
    """Return the type of a tiled tensor of so many features."""
    return tensor_type((tiles_of(layout), features, layout.token_tile), dtype)


def rectangle(layout: TokenLayout) -> tuple[Dim, Dim]:
    """Return the sequences, and the tokens of the longest one."""
    if layout.of_rows:
        return 1, BATCH
    return (BATCH, SEQ_LEN) if layout.is_open else (layout.batch, layout.seq_len)


def tiles_of(layout: TokenLayout) -> Dim:
    """Return how many tiles a layout has."""
    if layout.of_rows:
        return dim(tvm.tirx.floordiv(BATCH + (layout.token_tile - 1), layout.token_tile))
    return TILES if layout.is_open else layout.num_tiles


def tile_map_type(layout: TokenLayout) -> relax.TensorType:
    """Return the type of the tile map of an open layout, see `TokenLayout`."""
    return tensor_type((tiles_of(layout), 4), "int32")


def features_of(data: Expr) -> int:
    """Return the features of a tiled tensor."""
    features = tensor_shape(data)[1]
    assert isinstance(features, int)
    return features


def batch_extent(data: Expr) -> int:
    """Return the first extent of an operand as kernels are told it: 0 where the run says it."""
    extent = tensor_shape(data)[0]
    return extent if isinstance(extent, int) else 0
