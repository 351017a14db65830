"""Block-sparse product on token tiles: out = activation(BSR weight @ data + bias) + residual.

Every non-zero block is a (bs_r, bs_c) patch of the weight. Its values are broadcast against
vectors of tokens, so that a loaded activation serves bs_r outputs. Low blocks come several rows at
a time, high ones a part of their rows at a time, so that about as many accumulators as registers
are in use. How many steps there are is symbolic: one kernel serves all layers of a shape.

Threads take token tiles, one after the other, not rows: what a kernel computes of a token then
lies in the cache of the core that the next kernel computes that token on. Weights pass by once a
tile.

With several panels all rows of a chunk pass over one panel of the inputs, which L1 holds, before
the next; the sums wait in `out`, which is small beside what is read.
"""

from __future__ import annotations

from collections.abc import Iterator

import tvm

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.token_layout import HIGH_BLOCK_ROWS, TokenLayout
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.bsr_steps import Factors, packed_offset
from tvm_sparse.kernels.epilogue import BoundEpilogue
from tvm_sparse.kernels.tiling import CACHE_LINE_FLOATS, PREFETCH_FLOATS, row_chunks
from tvm_sparse.kernels.token_tiles import ALWAYS_SHARED, TokenTiles, Work
from tvm_sparse.kernels.vector import (
    Expr,
    Registers,
    T,
    argument,
    flat,
    held,
    load,
    prefetch,
    prim_func,
    serial,
    store,
)

#: Multiply-adds of a step that leave room beside them for asking for weights. Shorter steps are
#: faster without, although the processor's own prefetching stops at the end of every page.
_PREFETCHING_STEP = 12
#: Sums in flight that hide the latency of a multiply-add.
_CHAINS = 16


def make_bsr_sparse_dense(
    layout: TokenLayout,
    units: int,
    depth: int,
    block_shape: tuple[int, int],
    rows: int,
    epilogue: Epilogue,
    form: SparseFormat,
    work: Work = ALWAYS_SHARED,
) -> tvm.tirx.PrimFunc:
    """Make the kernel for one (units, depth, block_shape).

    Parameters
    ----------
    layout : TokenLayout
        Of data, residual and out.
    units, depth, block_shape
        N outputs and K inputs, multiples of (bs_r, bs_c).
    rows : int
        The most rows of a block that are accumulated together.
    epilogue, form
        Fused operations; how the weight was packed.
    work : Work
        When threads share it.

    Returns
    -------
    PrimFunc
        (data (tiles, K, T), the five arrays of a `PackedBSR`, [bias (N,)], [residual], [tile_map],
        out (tiles, N, T)).
    """
    bs_r, bs_c = block_shape
    width, tile_size = layout.lanes, layout.token_tile
    lanes, panels, chunks = form.lanes, form.panels, form.chunks
    num_block_cols = depth // bs_c
    num_groups = units // bs_r // lanes * panels
    num_values = lanes * bs_c * bs_r
    field = form.field(num_block_cols, bs_c)

    def body() -> None:
        steps, tiles = T.int64(), TokenTiles(layout)
        apart = tiles.apart(depth)
        data = argument("data", tiles.shape(depth))
        weight_data = argument("weight_data", (steps, lanes, bs_c, bs_r))
        weight_offsets = (
            argument("weight_offsets", (steps, lanes), "int32")
            if field is None
            else argument("weight_offsets", (steps, form.words(field.bits)), "int64")
        )
        weight_groups = argument("weight_groups", (num_groups + 1,), "int32")
        weight_rows = argument("weight_rows", (num_groups, lanes), "int32")
        weight_chunks = argument("weight_chunks", (chunks, panels + 3), "int32")
        tail = BoundEpilogue.declare(epilogue, units, tiles)
        tiles.declare_map()
        out = argument("out", tiles.shape(units))
        # Offsets count floats, which only views of one axis allow.
        inputs = flat(data, tiles.count * depth * tile_size)
        values = flat(weight_data, steps * num_values)

        def group_times_panel(
            group: Expr,
            tile: Expr,
            panel: Expr | int,
            rows_taken: tuple[int, int],
            vectors: int,
        ) -> None:
            """Add one panel to rows of each lane's block row: the first, and how many."""
            start, count = rows_taken
            acc = Registers(lanes * count * vectors, width)
            # Where a step has too few sums, several steps have sums of their own.
            chains = [acc]
            if vectors < layout.vectors:
                most = min(_CHAINS, rows * layout.vectors) // acc.count
                chains += [Registers(acc.count, width) for _ in range(most - 1)]
            for sums in chains[1:]:
                sums.fill(0.0)
            first_units = [tiles.held(weight_rows[group, lane] + start) for lane in range(lanes)]
            places = [
                tiles.place(tile, first_units[lane] + row, vector)
                for lane in range(lanes)
                for row in range(count)
                for vector in range(vectors)
            ]
            if isinstance(panel, int) and panel == 0:
                acc.fill(0.0)
            else:
                for index, place in enumerate(places):
                    acc[index] = load(out, place, width)
            first_input = tile * depth + form.panel_start(panel, num_block_cols) * bs_c

            def offset_of(step: Expr, lane: int) -> Expr:
                return first_input * tile_size + (
                    weight_offsets[step, lane]
                    if field is None
                    else packed_offset(weight_offsets, step, lane, field)
                )

            def add_step(step: Expr, sums: Registers) -> None:
                in_fours = bs_r < HIGH_BLOCK_ROWS and num_values % 4 == 0
                step = tiles.held(step)
                factors = Factors(values, tiles.held(step * num_values), width, in_fours)
                is_first = start == 0 and sums is acc
                if is_first and acc.count * len(chains) * bs_c >= _PREFETCHING_STEP:
                    prefetch(values, [step * num_values + PREFETCH_FLOATS])
                if start == 0 and form.lookahead:
                    for lane in range(lanes):
                        coming = offset_of(step + form.lookahead, lane)
                        for start_of in range(0, vectors * apart if layout.is_open else 1, apart):
                            for line in range(0, bs_c * tile_size, CACHE_LINE_FLOATS):
                                prefetch(inputs, [coming + (start_of + line)])
                for lane in range(lanes):
                    offset = tiles.held(offset_of(step, lane))
                    for column in range(bs_c):
                        tokens = [
                            load(inputs, [offset + (column * tile_size + v * apart)], width)
                            for v in range(vectors)
                        ]
                        for row in range(count):
                            first = (lane * bs_c + column) * bs_r + start
                            factor = factors.get(first + row)
                            for vector in range(vectors):
                                index = (lane * count + row) * vectors + vector
                                sums[index] = sums[index] + factor * tokens[vector]

            first_step, stop_step = weight_groups[group], weight_groups[group + 1]
            if len(chains) == 1:
                with serial(first_step, stop_step) as step:
                    add_step(step, acc)
            else:
                rounds = tiles.held(T.floordiv(stop_step - first_step, len(chains)))
                with serial(0, rounds) as nth:
                    for chain, sums in enumerate(chains):
                        add_step(first_step + nth * len(chains) + chain, sums)
                with serial(first_step + rounds * len(chains), stop_step) as step:
                    add_step(step, acc)
                for index in range(acc.count):
                    for sums in chains[1:]:
                        acc[index] = acc[index] + sums[index]
            if isinstance(panel, int) and panel == panels - 1:
                tail.store(out, acc, places)
                return
            for index, place in enumerate(places):
                store(out, acc[index], place, width)

        def chunks_times_panel(
            run: tuple[Expr, Expr | int],
            tile: Expr,
            panel: Expr | int,
            vectors: int,
        ) -> None:
            for chunk in each_chunk(run):
                first, stop = (weight_chunks[chunk, panel + edge] for edge in (2, 3))
                with serial(first, stop) as nth:
                    group = tiles.held(nth)
                    # The fewer registers of tokens, the more rows keep as many sums in flight.
                    for rows_taken in row_chunks(bs_r, rows * (layout.vectors // vectors)):
                        with tiles.own_registers():
                            group_times_panel(group, tile, panel, rows_taken, vectors)

        def each_chunk(run: tuple[Expr, Expr | int]) -> Iterator[Expr]:
            first, count = run
            if isinstance(count, int):
                yield first
                return
            with serial(0, count) as nth:
                yield tiles.held(first + nth)

        def chunks_times_tile(tile: Expr, run: tuple[Expr, Expr | int], vectors: int) -> None:
            last = run[0] + run[1] - 1
            units_taken = (weight_chunks[run[0], 0], weight_chunks[last, 1])
            if panels > 1 and vectors < layout.vectors:
                # One code for all panels: that of few registers need not be the fastest.
                tail.clear(out, tile, units_taken, vectors)
                with serial(0, panels) as panel:
                    chunks_times_panel(run, tile, held(panel), vectors)
                tail.finish(out, tile, units_taken, vectors, plain=True)
                return
            chunks_times_panel(run, tile, 0, vectors)
            if panels > 2:
                with serial(1, panels - 1) as panel:
                    chunks_times_panel(run, tile, panel, vectors)
            if panels > 1:
                chunks_times_panel(run, tile, panels - 1, vectors)
            tail.finish(out, tile, units_taken, vectors)

        tiles.compute_runs("bsr_sparse_dense", chunks, work, chunks_times_tile)

    return prim_func(body)
