"""Dense product on tiles of an open layout, vectors over outputs, not over tokens.

A tile is computed in parts of a few tokens, so that little is computed of a tile that a sequence
does not fill. A panel of the weight is one vector of outputs wide; some panels meet one part of a
tile at a time, with a sum in a register for each of its tokens. Then the sums are transposed to
where the tile has them. There is one piece of code for any number of tiles, and weights pass by
once: a group of panels stays in L2 while all tiles of a thread meet it.
"""

from __future__ import annotations

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.epilogue import BoundEpilogue
from tvm_sparse.kernels.tiling import PREFETCH_FLOATS, chunk_size, part_tokens
from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.vector import (
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    held,
    load,
    own_registers,
    prefetch,
    prim_func,
    scratch,
    serial,
    store,
    transpose,
)


def make_open_dense(
    layout: TokenLayout, units: int, depth: int, together: int, epilogue: Epilogue
) -> tvm.tirx.PrimFunc:
    """Make the kernel for one (units, depth), N outputs and K inputs, or for all.

    Parameters
    ----------
    layout : TokenLayout
        Of data, residual and out; open.
    units, depth : int
        N and K; 0 for those of whatever product it is called for. N is whole panels then.
    together : int
        Panels that are taken together, a divisor of their number.
    epilogue : Epilogue
        Fused operations.

    Returns
    -------
    PrimFunc
        (data (tiles, K, T), weight (panels, K, lanes), [bias (N,)], [residual], [activates],
        tile_map, out (tiles, N, T)).
    """
    lanes = layout.lanes
    tokens = part_tokens(lanes)
    whole_panels = units % lanes == 0

    def body() -> None:
        tiles = TokenTiles(layout)
        num_units, num_inputs = units or T.int64(), depth or T.int64()
        panels = -(-units // lanes) or T.int64()
        data = argument("data", tiles.shape(num_inputs))
        weight = argument("weight", (panels, num_inputs, lanes))
        tail = BoundEpilogue.declare(epilogue, num_units, tiles)
        tiles.declare_map()
        out = argument("out", tiles.shape(num_units))
        groups = T.floordiv(panels, together)

        def multiply(first_panel: Expr, tile: Expr, first_token: Expr) -> None:
            """Multiply a group of panels by the tokens of a part of a tile."""
            acc = Registers(together * tokens, lanes)
            acc.fill(0.0)
            # A panel of the next group meanwhile, in each pass another one: where a group has few
            # passes, it would be waited for in the first of them. Not in L1, which is full.
            nth_pass = tile * (lanes // tokens) + T.floordiv(first_token, tokens)
            coming = held(first_panel + together + T.floormod(nth_pass, together))
            with serial(0, num_inputs) as k:
                columns = []
                prefetch(weight, [coming, k, 0], nearest=False)
                for nth in range(together):
                    prefetch(weight, [first_panel + nth, k + PREFETCH_FLOATS // lanes, 0])
                    columns.append(load(weight, [first_panel + nth, k, 0], lanes))
                for token in range(tokens):
                    factor = broadcast(data[tile, k, first_token + token], lanes)
                    for nth, column in enumerate(columns):
                        index = nth * tokens + token
                        acc[index] = acc[index] + factor * column
            for index in range(acc.count):
                store(sums, acc[index], [index * lanes], lanes)

        def store_transposed(first_panel: Expr, tile: Expr, first_token: Expr) -> None:
            """Store the sums of so many outputs at a time as there are tokens."""
            of_panel = lanes // tokens
            with serial(0, together * of_panel) as block:
                panel, part = held(T.floordiv(block, of_panel)), T.floormod(block, of_panel)
                start = held(panel * (tokens * lanes) + part * tokens)
                rows = [load(sums, [start + token * lanes], tokens) for token in range(tokens)]
                first_unit = held((first_panel + panel) * lanes + part * tokens)
                for nth, values in enumerate(transpose(rows)):
                    place = tiles.place(tile, first_unit + nth, 0, first_token)
                    if whole_panels:
                        tail.store(out, [values], [place], tokens)
                        continue
                    with T.If(first_unit + nth < num_units), T.Then():
                        tail.store(out, [values], [place], tokens)

        def last_unit(end: Expr) -> Expr:
            return end if whole_panels else T.min(end, T.int64(units))

        def clear(first_panel: Expr, tile: Expr, first_token: Expr) -> None:
            """Store zeros where no token is: what lies in a tile is finite."""
            first_unit = first_panel * lanes
            with serial(first_unit, last_unit(first_unit + together * lanes)) as unit:
                place = tiles.place(tile, unit, 0, first_token)
                store(out, broadcast(0.0, tokens), place, tokens)

        def chunk_times_tiles(first_tile: Expr, stop_tile: Expr, chunk: Expr) -> None:
            first_group = held(chunk * per_chunk)
            stop_group = held(T.min(first_group + per_chunk, groups))
            with (
                serial(first_group, stop_group) as group,
                serial(first_tile, stop_tile) as nth,
            ):
                tile, panel = held(nth), held(group * together)
                filled = T.min(tiles.length(tile) - tiles.position(tile), T.int64(lanes))
                filled_parts = held(T.floordiv(filled + (tokens - 1), tokens))
                with serial(0, filled_parts) as part:
                    first_token = held(part * tokens)
                    with own_registers():
                        multiply(panel, tile, first_token)
                    with own_registers():
                        store_transposed(panel, tile, first_token)
                with serial(filled_parts, lanes // tokens) as part:
                    clear(panel, tile, held(part * tokens))
            first_unit, stop_unit = (
                edge * (together * lanes) for edge in (first_group, stop_group)
            )
            units_of_chunk = (first_unit, last_unit(stop_unit))
            tail.finish(out, first_tile, units_of_chunk, stop_tile - first_tile)

        per_chunk = chunk_size(groups)
        chunks = T.floordiv(groups + (per_chunk - 1), per_chunk)
        with tiles.in_blocks("open_dense", chunks) as (first, stop, chunk):
            sums = scratch(together * tokens * lanes)
            chunk_times_tiles(first, stop, chunk)

    return prim_func(body)
