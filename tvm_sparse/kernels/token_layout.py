"""Moves between row-major (batch, seq_len, features) and token tiles.

Only the ends of an encoder pay for these; between its layers nothing is transposed.
"""

from __future__ import annotations

import tvm

from tvm_sparse.kernels.tiling import TokenLayout
from tvm_sparse.kernels.vector import T, argument, parallel, prim_func, serial

#: Features moved together, so that both sides of the transpose are touched in whole cache lines.
_FEATURE_BLOCK = 16


def make_pack_tokens(layout: TokenLayout, features: int) -> tvm.tirx.PrimFunc:
    """Make (data (B, S, F), out (tiles, F, T)); tokens past `seq_len` become zero."""
    tile, tiles = layout.token_tile, layout.tiles_per_sequence

    def body() -> None:
        data = argument("data", (layout.batch, layout.seq_len, features))
        out = argument("out", layout.shape(features))
        blocks = -(-features // _FEATURE_BLOCK)
        with parallel(layout.num_tiles * blocks, "pack_tokens") as unit:
            index = T.floordiv(unit, blocks)
            batch, first = T.floordiv(index, tiles), T.floormod(index, tiles) * tile
            start = T.floormod(unit, blocks) * _FEATURE_BLOCK
            used = T.min(T.int64(layout.seq_len) - first, T.int64(tile))
            with serial(start, T.min(start + _FEATURE_BLOCK, T.int64(features))) as f:
                with serial(0, used) as t:
                    T.buffer_store(out, data[batch, first + t, f], [index, f, t])
                with serial(used, tile) as t:
                    T.buffer_store(out, T.float32(0), [index, f, t])

    return prim_func(body)


def make_unpack_tokens(layout: TokenLayout, features: int) -> tvm.tirx.PrimFunc:
    """Make (data (tiles, F, T), out (B, S, F)); tokens past `seq_len` are dropped."""
    tile, tiles = layout.token_tile, layout.tiles_per_sequence

    def body() -> None:
        data = argument("data", layout.shape(features))
        out = argument("out", (layout.batch, layout.seq_len, features))
        with parallel(layout.batch * layout.seq_len, "unpack_tokens") as unit:
            batch = T.floordiv(unit, layout.seq_len)
            position = T.floormod(unit, layout.seq_len)
            index = batch * tiles + T.floordiv(position, tile)
            with serial(0, features) as f:
                T.buffer_store(
                    out, data[index, f, T.floormod(position, tile)], [batch, position, f]
                )

    return prim_func(body)
