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

import functools
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

        def groups_times_panel(
            groups: list[Expr],
            tile: Expr,
            panel: Expr | int,
            rows_taken: tuple[int, int],
            vectors: int,
        ) -> None:
            """Add one panel to rows of each lane's block row: the first, and how many.

            Groups of about as many steps go side by side, each with sums of its own.
            """
            start, count = rows_taken
            sums = [Registers(lanes * count * vectors, width) for _ in groups]
            places = []
            for group in groups:
                units_of = [tiles.held(weight_rows[group, lane] + start) for lane in range(lanes)]
                places.append(
                    [
                        tiles.place(tile, first_unit + row, vector)
                        for first_unit in units_of
                        for row in range(count)
                        for vector in range(vectors)
                    ]
                )
            for acc, stored in zip(sums, places, strict=True):
                if isinstance(panel, int) and panel == 0:
                    acc.fill(0.0)
                    continue
                for index, place in enumerate(stored):
                    acc[index] = load(out, place, width)
            first_input = tile * depth + form.panel_start(panel, num_block_cols) * bs_c

            def offset_of(step: Expr, lane: int) -> Expr:
                return first_input * tile_size + (
                    weight_offsets[step, lane]
                    if field is None
                    else packed_offset(weight_offsets, step, lane, field)
                )

            def add_step(step: Expr, acc: Registers) -> None:
                in_fours = (bs_r < HIGH_BLOCK_ROWS or len(groups) > 1) and num_values % 4 == 0
                step = tiles.held(step)
                factors = Factors(values, tiles.held(step * num_values), width, in_fours)
                if start == 0 and acc.count * bs_c >= _PREFETCHING_STEP:
                    prefetch(values, [step * num_values + PREFETCH_FLOATS])
                if start == 0 and form.lookahead and vectors == layout.vectors:
                    for lane in range(lanes):
                        coming = offset_of(step + form.lookahead, lane)
                        for part in range(0, vectors * apart if layout.is_open else 1, apart):
                            for line in range(0, bs_c * tile_size, CACHE_LINE_FLOATS):
                                prefetch(inputs, [coming + (part + line)])
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
                                acc[index] = acc[index] + factor * tokens[vector]

            steps_of = [(weight_groups[group], weight_groups[group + 1]) for group in groups]
            common: Expr | int = 0
            if len(groups) > 1:
                common = tiles.held(functools.reduce(T.min, (b - a for a, b in steps_of)))
                many = sums[0].count * len(groups) * bs_c >= _PREFETCHING_STEP
                with serial(0, common) as nth:
                    if many and start == 0:
                        # At the pace of all groups, whose values lie one behind the other.
                        at = (steps_of[0][0] + nth * len(groups)) * num_values
                        prefetch(values, [at + 2 * PREFETCH_FLOATS])
                    for (first_step, _), acc in zip(steps_of, sums, strict=True):
                        add_step(first_step + nth, acc)
            for (first_step, stop_step), acc in zip(steps_of, sums, strict=True):
                with serial(first_step + common, stop_step) as step:
                    add_step(step, acc)
            for acc, stored in zip(sums, places, strict=True):
                if isinstance(panel, int) and panel == panels - 1:
                    tail.store(out, acc, stored)
                    continue
                for index, place in enumerate(stored):
                    store(out, acc[index], place, width)

        def chunks_times_panel(
            run: tuple[Expr, Expr | int], tile: Expr, panel: Expr | int, vectors: int
        ) -> None:
            # The fewer registers of tokens, the more rows keep as many sums in flight.
            split = row_chunks(bs_r, rows * (layout.vectors // vectors))
            side_by_side = 1
            if vectors < layout.vectors:
                most = min(_CHAINS, rows * layout.vectors)
                side_by_side = max(1, most // (lanes * split[0][1] * vectors))

            def take(groups: list[Expr]) -> None:
                for rows_taken in split:
                    with tiles.own_registers():
                        groups_times_panel(groups, tile, panel, rows_taken, vectors)

            for chunk in each_chunk(run):
                first, stop = (weight_chunks[chunk, panel + edge] for edge in (2, 3))
                if side_by_side > 1:
                    rounds = tiles.held(T.floordiv(stop - first, side_by_side))
                    with serial(0, rounds) as nth:
                        start = tiles.held(first + nth * side_by_side)
                        take([start + beside for beside in range(side_by_side)])
                    first = first + rounds * side_by_side
                with serial(first, stop) as nth:
                    take([tiles.held(nth)])

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
