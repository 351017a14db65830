"""Block-sparse product on token tiles: out = activation(BSR weight @ data + bias) + residual.

Every non-zero block is a (bs_r, bs_c) patch of the weight. Its values are broadcast against
vectors of tokens, so that a loaded activation serves bs_r outputs. Low blocks come several rows at
a time, high ones a part of their rows at a time or, with one vector of tokens, two rows of blocks
(`formats.bsr`, lane-major), so that about as many accumulators as registers or as keep a core busy
are in use. How many steps there are is symbolic: one kernel serves all layers of a shape.

Threads take token tiles, one after the other, not rows: what a kernel computes of a token then
lies in the cache of the core that the next kernel computes that token on. Weights pass by once a
tile.

With several panels all rows of a chunk pass over one panel of the inputs, which L1 holds, before
the next; the sums wait in `out`, which is small beside what is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import tvm

from tvm_sparse.formats.bsr import SparseFormat, panel_start
from tvm_sparse.formats.int8_bsr import Int8SparseFormat
from tvm_sparse.formats.token_layout import HIGH_BLOCK_ROWS, TokenLayout
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.arithmetic import arithmetic_of
from tvm_sparse.kernels.bsr_steps import Factors, packed_offset
from tvm_sparse.kernels.epilogue import BoundEpilogue
from tvm_sparse.kernels.tiling import CACHE_LINE_FLOATS, PREFETCH_FLOATS, row_chunks
from tvm_sparse.kernels.token_tiles import ALWAYS_SHARED, TokenTiles, Work
from tvm_sparse.kernels.vector import (
    Expr,
    Registers,
    T,
    argument,
    load,
    prefetch,
    prim_func,
    serial,
    store,
)

#: Multiply-adds of a step that leave room beside them for asking for weights. Shorter steps are
#: faster without, although the processor's own prefetching stops at the end of every page; unless
#: lanes are taken in parts, which it does not follow.
_PREFETCHING_STEP = 8
#: Inputs of a run that lie in L2 or close to it, where high blocks find them soon enough.
_NEAR_BYTES = 512 * 1024


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
    """Make the kernel for one (units, depth, block_shape), or for all (units, depth).

    Parameters
    ----------
    layout : TokenLayout
        Of data, residual and out.
    units, depth, block_shape
        N outputs and K inputs, multiples of (bs_r, bs_c). 0 each, of floats on an open layout, for
        those of whatever product it is called for; the form is `of_any_size` then.
    rows : int
        The most rows of a block that are accumulated together.
    epilogue, form
        Fused operations; how the weight was packed, as floats or as words of integers.
    work : Work
        When threads share it.

    Returns
    -------
    PrimFunc
        (data (tiles, K, T), the five arrays of a `PackedBSR`, [bias (N,)], [residual], [activates],
        [tile_map], out (tiles, N, T)). Of words: (data (tiles, K / 4 + 2, T), the arrays,
        scales (N,), sums (N,), ...).
    """
    arithmetic = arithmetic_of(layout, form.grade if isinstance(form, Int8SparseFormat) else None)
    bs_r = block_shape[0]
    # Where a step reads several inputs, they are columns of one word.
    bs_c = arithmetic.steps(block_shape[1]) if form.inputs == 1 else 1
    width, tile_size = layout.lanes, layout.token_tile
    lanes, abreast = form.lanes, form.abreast
    num_values = abreast * bs_c * bs_r * arithmetic.factors
    field = form.field(arithmetic.steps(depth) // bs_c, bs_c)
    span = max(1, arithmetic.span // bs_c)

    def body() -> None:
        steps, tiles = T.int64(), TokenTiles(layout)
        num_units, num_inputs = units or T.int64(), depth or T.int64()
        chunks, bounds = form.chunks or T.int64(), form.panels + 3 if units else T.int64()
        panels = form.panels if units else bounds - 3
        num_groups = units // bs_r // lanes * panels if units else T.int64()
        bounds_of_groups = num_groups * (lanes // abreast) + 1 if units else T.int64()
        rows_of_tile = arithmetic.rows(num_inputs)
        num_block_cols = arithmetic.steps(num_inputs) // bs_c
        apart = tiles.apart(rows_of_tile)
        data = argument("data", tiles.shape(rows_of_tile), arithmetic.dtype)
        of_column = bs_r * arithmetic.factors
        weight_data = argument("weight_data", (steps, abreast, bs_c, of_column), arithmetic.dtype)
        weight_offsets = (
            argument("weight_offsets", (steps, form.offsets), "int32")
            if field is None
            else argument("weight_offsets", (steps, form.words(field.bits)), "int64")
        )
        weight_groups = argument("weight_groups", (bounds_of_groups,), "int32")
        weight_rows = argument("weight_rows", (num_groups, lanes), "int32")
        weight_chunks = argument("weight_chunks", (chunks, bounds), "int32")
        arithmetic.declare(data, units, depth)
        # Sums of floats begin with the bias: what is stored between panels and in the end is alike.
        is_float = arithmetic.dtype == "float32"
        tail = BoundEpilogue.declare(epilogue, num_units, tiles, bias_begins=is_float)
        tiles.declare_map()
        out = argument("out", tiles.shape(num_units))
        # Offsets count floats or words.
        inputs, values = data.elements, weight_data.elements

        def column_of(panel: Expr | int) -> Expr:
            """Return the first block column of a panel."""
            return panel_start(panel, panels, num_block_cols)

        def group_times_panel(
            group: Expr,
            tile: Expr,
            panel: Expr | int,
            first_column: Expr | int,
            lanes_taken: tuple[Expr | int, int],
            rows_taken: tuple[int, int],
            vectors: int,
        ) -> None:
            """Add one panel to some rows of some lanes' block rows: the first, and how many."""
            (first_lane, num_lanes), (start, count) = lanes_taken, rows_taken
            acc = Registers(num_lanes * count * vectors, width, arithmetic.dtype)
            units_of = [
                tiles.held(weight_rows[group, first_lane + lane] + start)
                for lane in range(num_lanes)
            ]
            places = [
                tiles.place(tile, first_unit + row, vector)
                for first_unit in units_of
                for row in range(count)
                for vector in range(vectors)
            ]
            for is_first in _either(panel == 0):
                if is_first:
                    (tail.begin if is_float else arithmetic.start)(acc, places)
                    # Rows of many lanes come in no order, and each lies in as many places as tiles.
                    if abreast > 1 and vectors > 1 and layout.is_open:
                        for place in places:
                            prefetch(out, place, to_write=True)
                else:
                    for index, place in enumerate(places):
                        acc[index] = arithmetic.resumed(load(out, place, width))
            first_input = tile * rows_of_tile + first_column * bs_c
            # Lanes one by one have steps of their own, with nothing beside.
            first_abreast = 0 if form.lane_major else first_lane
            first_value = first_abreast * (bs_c * of_column)

            def offsets_of(step: Expr, lane: int) -> Iterator[Expr]:
                first_offset = first_abreast * form.inputs
                taken = first_offset, num_lanes * form.inputs
                for nth in range(lane * form.inputs, (lane + 1) * form.inputs):
                    yield first_input * tile_size + (
                        weight_offsets[step, first_offset + nth]
                        if field is None
                        else packed_offset(weight_offsets, step, taken, nth, field)
                    )

            # A broadcast of AVX2 is an instruction of its own, beside the multiply-add.
            reused = vectors if width == 8 and layout.is_open else layout.vectors
            few = bs_r < HIGH_BLOCK_ROWS or reused < layout.vectors
            taken_abreast = 1 if form.lane_major else num_lanes
            in_fours = few and taken_abreast * bs_c * of_column % 4 == 0

            def add_lane(sums: Registers, factors: Factors, step: Expr, lane: int, at: int) -> None:
                """Add the block of a lane, which is the one at that place of a step."""
                offsets = [tiles.held(offset) for offset in offsets_of(step, at)]
                for column in range(bs_c):
                    apart_by = [column * tile_size + v * apart for v in range(vectors)]
                    tokens = arithmetic.tokens(
                        [[load(inputs, [o + p], width) for p in apart_by] for o in offsets]
                    )
                    for row in range(count):
                        first = (at * bs_c + column) * bs_r + start
                        row_factors = factors.get(first + row, arithmetic.factors)
                        for vector in range(vectors):
                            index = (lane * count + row) * vectors + vector
                            sums[index] = arithmetic.add(sums[index], row_factors, tokens[vector])

            def add_step(sums: Registers, step: Expr) -> None:
                step = tiles.held(step)
                values_of_step = tiles.held(step * num_values + first_value)
                factors = Factors(values, values_of_step, width, in_fours)
                if start == 0 and (acc.count * bs_c >= _PREFETCHING_STEP or num_lanes < lanes):
                    prefetch(values, [values_of_step + PREFETCH_FLOATS])
                if start == 0 and form.lookahead and vectors == layout.vectors:
                    coming = step + form.lookahead
                    for lane, nth, line in product(
                        range(num_lanes),
                        range(vectors if layout.is_open else 1),
                        range(0, bs_c * tile_size, CACHE_LINE_FLOATS),
                    ):
                        for offset in offsets_of(coming, lane):
                            prefetch(inputs, [offset + (nth * apart + line)])
                for lane in range(num_lanes):
                    add_lane(sums, factors, step, lane, lane)

            def add_spans(first: Expr, spans: Expr, length: int) -> None:
                with serial(0, spans) as nth:
                    sums = arithmetic.partial(acc)
                    for step in range(length):
                        add_step(sums, first + nth * length + step)
                    arithmetic.collect(acc, sums)

            def bounds_of(nth: Expr) -> tuple[Expr, Expr]:
                first, stop = (T.Cast("int64", weight_groups[nth + edge]) for edge in (0, 1))
                return tiles.held(first), tiles.held(stop)

            def add_lanes_together() -> None:
                """Add the blocks that all lanes one by one have, then what the longer ones have."""
                edges = [bounds_of(group * lanes + first_lane + n) for n in range(num_lanes)]
                common = tiles.held(edges[-1][1] - edges[-1][0])
                # Neighbours in memory are read at once: what comes next is asked for in its order.
                ahead = tiles.held(edges[-1][1] + PREFETCH_FLOATS // num_values)
                with serial(0, common) as nth:
                    coming = tiles.held(ahead + nth * num_lanes)
                    prefetch(values, [coming * num_values])
                    prefetch(weight_offsets, [coming, 0])
                    for lane, (first, _) in enumerate(edges):
                        add_block(tiles.held(first + nth), lane)
                for lane, (first, stop) in enumerate(edges[:-1]):
                    with serial(first + common, stop) as step:
                        add_block(tiles.held(step), lane)

            def add_block(step: Expr, lane: int) -> None:
                place = tiles.held(step * num_values)
                add_lane(acc, Factors(values, place, width, in_fours), step, lane, 0)

            if form.lane_major and num_lanes > 1:
                add_lanes_together()
            else:
                nth_bound = group * lanes + first_lane if form.lane_major else group
                first_step, stop_step = bounds_of(nth_bound)
                whole = tiles.held(T.floordiv(stop_step - first_step, span))
                add_spans(first_step, whole, span)
                if span > 1:
                    rest = tiles.held(first_step + whole * span)
                    add_spans(rest, stop_step - rest, 1)

            for is_last in _either((is_float and tail.is_store) or panel == panels - 1):
                if is_last:
                    tail.store(out, arithmetic.finished(acc, places), places)
                else:
                    for index, place in enumerate(places):
                        store(out, arithmetic.parked(acc[index]), place, width)

        def ask_for_panel(tile: Expr, panel: Expr | int, vectors: int) -> None:
            """Ask for the inputs of a panel, front to back.

            Of tiles that lie apart, blocks meet single lines, in no order that the processor's own
            prefetching would follow.
            """
            start, end = (tiles.held(column_of(panel + edge) * bs_c) for edge in (0, 1))
            if bs_r >= HIGH_BLOCK_ROWS:
                is_far = tiles.count * rows_of_tile > _NEAR_BYTES // (4 * tile_size)
                end = tiles.held(start + (end - start) * T.Cast("int64", is_far))
            with serial(start, end) as feature:
                place = tiles.held((tile * rows_of_tile + feature) * tile_size)
                for vector in range(vectors):
                    prefetch(inputs, [place + vector * apart])

        def chunk_times_panel(chunk: Expr, tile: Expr, panel: Expr | int, vectors: int) -> None:
            # The fewer registers of tokens, the more rows keep as many sums in flight.
            split = row_chunks(bs_r, rows * (layout.vectors // vectors))
            together = form.lanes_together(vectors) if layout.is_open else lanes
            first, stop = (weight_chunks[chunk, panel + edge] for edge in (2, 3))
            first_column = tiles.held(column_of(panel))
            with serial(first, stop) as nth, serial(0, lanes // together) as part:
                group, first_lane = tiles.held(nth), tiles.held(part * together)
                lanes_taken = (0 if together == lanes else first_lane), together
                for rows_taken in split:
                    with tiles.own_registers():
                        group_times_panel(
                            group, tile, panel, first_column, lanes_taken, rows_taken, vectors
                        )

        def chunks_times_tile(tile: Expr, run: tuple[Expr, Expr | int], vectors: int) -> None:
            with serial(0, panels) as nth_panel:
                panel = 0 if isinstance(panels, int) and panels == 1 else tiles.held(nth_panel)
                if layout.is_open and vectors > 1 and not form.lookahead:
                    ask_for_panel(tile, panel, vectors)
                with serial(0, run[1]) as nth:
                    chunk_times_panel(tiles.held(run[0] + nth), tile, panel, vectors)

        def finish(tile: Expr, run: tuple[Expr, Expr | int], vectors: Expr | int) -> None:
            last = run[0] + run[1] - 1
            tail.finish(out, tile, (weight_chunks[run[0], 0], weight_chunks[last, 1]), vectors)

        tiles.compute_runs("bsr_sparse_dense", chunks, work, chunks_times_tile, finish)

    return prim_func(body)


def _either(condition: Expr | bool) -> Iterator[bool]:
    """Emit code for both outcomes of a condition; only for its own where it is known."""
    if isinstance(condition, bool):
        yield condition
        return
    with T.If(condition):
        with T.Then():
            yield True
        with T.Else():
            yield False
