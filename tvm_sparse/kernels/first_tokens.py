"""The first token of every sequence, as rows, out of token tiles: what poolers and heads read."""

from __future__ import annotations

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.vector import T, argument, parallel, prim_func, serial, store


def make_first_tokens(layout: TokenLayout, features: int) -> tvm.tirx.PrimFunc:
    """Make (data (tiles, F, T), [tile_map], out (B, F)).

    It reads a value of a cache line each, and so is serial: what it takes is waiting for memory.
    """

    def body() -> None:
        tiles = TokenTiles(layout)
        data = argument("data", tiles.shape(features))
        tiles.declare_map()
        out = argument("out", (tiles.rectangle()[0], features))

        with parallel(tiles.count, "first_tokens", pays=False) as tile:
            with T.If(tiles.position(tile) == 0), T.Then(), serial(0, features) as f:
                store(out, data[tile, f, 0], [tiles.sequence_of(tile)[0], f], 1)

    return prim_func(body)
