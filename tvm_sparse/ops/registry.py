"""All our operators.

An operator is registered when its module is imported; importing this one registers all, which
loading a module that calls one requires.
"""

from __future__ import annotations

from tvm_sparse.formats.weight_format import WeightFormat
from tvm_sparse.ops.first_token_attention import FirstTokenAttention
from tvm_sparse.ops.first_tokens import FirstTokens
from tvm_sparse.ops.gated_unit import GatedUnit
from tvm_sparse.ops.gather_tokens import GatherTokens
from tvm_sparse.ops.operator import Operator
from tvm_sparse.ops.pack_tokens import PackTokens
from tvm_sparse.ops.packed_dense import PackedDense
from tvm_sparse.ops.packed_dense_int8 import (
    PackedDenseFastInt8,
    PackedDenseInt8,
    PackedDenseWideInt8,
)
from tvm_sparse.ops.product import ProductOperator
from tvm_sparse.ops.quantize_tokens import QuantizeTokens
from tvm_sparse.ops.row_dense import RowDense
from tvm_sparse.ops.row_tile_map import RowTileMap
from tvm_sparse.ops.sparse_dense import SparseDense
from tvm_sparse.ops.tiled_attention import TiledAttention
from tvm_sparse.ops.tiled_layer_norm import TiledLayerNorm
from tvm_sparse.ops.tiled_rms_norm import TiledRmsNorm
from tvm_sparse.ops.tiled_rotation import TiledRotation
from tvm_sparse.ops.tiled_sparse_dense import TiledSparseDense
from tvm_sparse.ops.tiled_sparse_dense_int8 import (
    TiledSparseDenseFastInt8,
    TiledSparseDenseInt8,
    TiledSparseDenseWideInt8,
)
from tvm_sparse.ops.token_window import TokenWindow
from tvm_sparse.ops.unpack_tokens import UnpackTokens

OPERATORS: tuple[type[Operator], ...] = (
    SparseDense,
    PackTokens,
    UnpackTokens,
    GatherTokens,
    FirstTokens,
    FirstTokenAttention,
    RowTileMap,
    RowDense,
    PackedDense,
    TiledSparseDense,
    TiledAttention,
    TiledLayerNorm,
    QuantizeTokens,
    PackedDenseInt8,
    PackedDenseFastInt8,
    PackedDenseWideInt8,
    TiledSparseDenseInt8,
    TiledSparseDenseFastInt8,
    TiledSparseDenseWideInt8,
    TiledRmsNorm,
    TiledRotation,
    GatedUnit,
    TokenWindow,
)


def product_operator(weights: type[WeightFormat]) -> type[ProductOperator]:
    """Return the operator that multiplies token tiles by weights of a format."""
    return ProductOperator.by_format[weights]
