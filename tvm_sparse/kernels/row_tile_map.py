"""The tile map of one token of each sequence: the tokens of one sequence, see `TokenLayout`."""

from __future__ import annotations

from collections.abc import Sequence

import tvm

from tvm_sparse.kernels.vector import T, argument, int32, int64, parallel, prim_func, serial, store


def make_row_tile_map(token_tile: int, rest: Sequence[int], dtype: str) -> tvm.tirx.PrimFunc:
    """Make (an input (B, rest), out (ceil(B / T), 4)); zeros of `rest` are extents of the run."""

    def body() -> None:
        batch, tiles = T.int64(), T.int64()
        argument("like", (batch, *(extent or T.int64() for extent in rest)), dtype)
        out = argument("out", (tiles, 4), "int32")
        with parallel(1, "row_tile_map", pays=False), serial(0, tiles) as tile:
            columns = (int32(0), T.Cast("int32", tile * token_tile), int32(0))
            for column, value in enumerate((*columns, T.Cast("int32", batch))):
                store(out, value, [tile, int64(column)], 1)

    return prim_func(body)
