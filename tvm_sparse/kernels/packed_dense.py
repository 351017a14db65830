"""Dense product on token tiles: out = activation(weight @ data + bias) + residual.

The weight is packed once, at compile time, into panels of `rows` outputs; a panel (rows x K) stays
in L1 while it meets one token tile, with rows x vectors accumulators in registers.
"""

from __future__ import annotations

import functools

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.epilogue import BoundEpilogue
from tvm_sparse.kernels.tiling import PREFETCH_FLOATS, chunk_size
from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.vector import (
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    load,
    parallel,
    prefetch,
    prim_func,
    serial,
)
from tvm_sparse.target import pays_in_parallel


def make_packed_dense(
    layout: TokenLayout, units: int, depth: int, rows: int, epilogue: Epilogue
) -> tvm.tirx.PrimFunc:
    """Make the kernel for one (units, depth): N outputs and K inputs, panels of so many rows.

    Returns
    -------
    PrimFunc
        (data (tiles, K, T), weight (panels, K, rows), [bias (N,)], [residual], [tile_map],
        out (tiles, N, T)).
    """
    lanes = layout.lanes
    panels = -(-units // rows)
    full_panels = units // rows
    per_chunk = chunk_size(panels)

    def body() -> None:
        tiles = TokenTiles(layout)
        data = argument("data", tiles.shape(depth))
        weight = argument("weight", (panels, depth, rows))
        tail = BoundEpilogue.declare(epilogue, units, tiles)
        tiles.declare_map()
        out = argument("out", tiles.shape(units))

        def panel_times_tile(panel: Expr | int, tile: Expr, used_rows: int, vectors: int) -> None:
            acc = Registers(used_rows * vectors, lanes)
            acc.fill(0.0)
            with serial(0, depth) as k:
                prefetch(weight, [panel, k + PREFETCH_FLOATS // rows, 0])
                for row in range(used_rows):
                    factor = broadcast(weight[panel, k, row], lanes)
                    for vector in range(vectors):
                        index = row * vectors + vector
                        acc[index] = acc[index] + factor * load(
                            data, [tile, k, vector * lanes], lanes
                        )
            places = [
                [tile, panel * rows + row, vector * lanes]
                for row in range(used_rows)
                for vector in range(vectors)
            ]
            tail.store(out, acc, places)

        def chunk_times_tile(chunk: Expr, tile: Expr, vectors: int) -> None:
            with serial(0, per_chunk) as offset:
                panel = chunk * per_chunk + offset
                with T.If(panel < full_panels), T.Then():
                    panel_times_tile(panel, tile, rows, vectors)
                if units % rows:
                    with T.If(panel == full_panels), T.Then():
                        panel_times_tile(full_panels, tile, units % rows, vectors)
            first_unit = chunk * (per_chunk * rows)
            stop_unit = T.min(first_unit + per_chunk * rows, T.int64(units))
            tail.finish(out, tile, first_unit, stop_unit, vectors)

        operations = 2.0 * layout.num_tiles * layout.token_tile * units * depth
        pays = layout.is_open or pays_in_parallel(operations)
        chunks = -(-panels // per_chunk)
        with parallel(tiles.count * chunks, "packed_dense", pays) as unit:
            tile, chunk = T.floordiv(unit, chunks), T.floormod(unit, chunks)
            tiles.each_tile(tile, functools.partial(chunk_times_tile, chunk, tile))

    return prim_func(body)
