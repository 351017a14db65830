"""Our Relax operators: type inference, purity, legalisation to kernels.

`tvm_sparse.sparse_dense` is the operator a user meets in the printed module: row-major data and a
plain BSR weight. The `tvm_sparse.tiled_*` operators and `tvm_sparse.packed_dense` work on token
tiles; the pass `tile_tokens` introduces them. Importing this module registers all of them, which
loading a cached module that holds one requires.
"""

from __future__ import annotations

import tvm

from tvm_sparse.kernels.op_calls import (
    gather_tokens,
    pack_tokens,
    packed_dense,
    row_dense,
    sparse_dense,
    tiled_attention,
    tiled_layer_norm,
    tiled_sparse_dense,
    unpack_tokens,
)
from tvm_sparse.kernels.op_kernels import KERNELS
from tvm_sparse.kernels.op_types import TYPES

__all__ = [
    "gather_tokens",
    "pack_tokens",
    "packed_dense",
    "row_dense",
    "sparse_dense",
    "tiled_attention",
    "tiled_layer_norm",
    "tiled_sparse_dense",
    "unpack_tokens",
]


def _register() -> None:
    for name, infer in TYPES.items():
        op = f"tvm_sparse.{name}"
        tvm.ir.register_op_attr(op, "FInferType", infer)
        tvm.ir.register_op_attr(op, "FLegalize", KERNELS[name])
        tvm.ir.register_op_attr(op, "FPurity", True)


_register()
