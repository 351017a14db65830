"""Dense product on token tiles: out = activation(weight @ data + bias) + residual.

Of float32, or of words of integers (`kernels.arithmetic`). The weight is packed once, at compile
time, into panels of `rows` outputs; a panel (rows x K) stays in L1 while it meets one token tile,
with rows x vectors accumulators in registers.
"""

from __future__ import annotations

import math

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.arithmetic import arithmetic_of
from tvm_sparse.kernels.epilogue import BoundEpilogue
from tvm_sparse.kernels.tiling import PREFETCH_FLOATS, chunk_size
from tvm_sparse.kernels.token_tiles import TokenTiles, Work
from tvm_sparse.kernels.vector import (
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    load,
    prefetch,
    prim_func,
    serial,
)


def make_packed_dense(
    layout: TokenLayout,
    units: int,
    depth: int,
    rows: int,
    epilogue: Epilogue,
    grade: str | None = None,
) -> tvm.tirx.PrimFunc:
    """Make the kernel for one (units, depth): N outputs and K inputs, panels of so many rows.

    A grade, of `formats.quantized.GRADES`, makes it one of words.

    Returns
    -------
    PrimFunc
        (data (tiles, K, T), weight (panels, K, rows), [bias (N,)], [residual], [tile_map],
        out (tiles, N, T)). Of words: (data (tiles, K / 4 + 2, T), weight (panels, K / 4, rows),
        scales (N,), sums (N,), ...); twice as many where weights have 16 bits.
    """
    lanes = layout.lanes
    panels = -(-units // rows)
    full_panels = units // rows
    per_chunk = chunk_size(panels)

    def body() -> None:
        tiles, arithmetic = TokenTiles(layout), arithmetic_of(layout, grade)
        steps, span = arithmetic.steps(depth), arithmetic.span
        data = argument("data", tiles.shape(arithmetic.rows(depth)), arithmetic.dtype)
        values = arithmetic.factors
        weight = argument("weight", (panels, steps, rows * values), arithmetic.dtype)
        arithmetic.declare(data, units, depth)
        tail = BoundEpilogue.declare(epilogue, units, tiles)
        tiles.declare_map()
        out = argument("out", tiles.shape(units))

        def panels_times_tile(
            panel: Expr | int, tile: Expr, taken: tuple[int, int], count: int
        ) -> None:
            """Multiply (panels, rows of each) from `panel` on by `count` registers."""
            places = [
                tiles.place(tile, (panel + nth) * rows + row, vector)
                for nth in range(taken[0])
                for row in range(taken[1])
                for vector in range(count)
            ]
            acc = Registers(len(places), lanes, arithmetic.dtype)
            arithmetic.start(acc, places)

            def add_step(sums: Registers, k: Expr) -> None:
                index = 0
                tokens = arithmetic.tokens(
                    [[load(data, tiles.place(tile, k, vector), lanes) for vector in range(count)]]
                )
                for nth in range(taken[0]):
                    prefetch(weight, [panel + nth, k + PREFETCH_FLOATS // (rows * values), 0])
                    for row in range(taken[1]):
                        factors = [
                            broadcast(weight[panel + nth, k, row * values + value], lanes)
                            for value in range(values)
                        ]
                        for vector in range(count):
                            sums[index] = arithmetic.add(sums[index], factors, tokens[vector])
                            index += 1

            def add_spans(first: int, spans: int, length: int) -> None:
                with serial(0, spans) as nth:
                    sums = arithmetic.partial(acc)
                    for step in range(length):
                        add_step(sums, nth * length + (first + step))
                    arithmetic.collect(acc, sums)

            add_spans(0, steps // span, span)
            if steps % span:
                add_spans(steps - steps % span, 1, steps % span)
            tail.store(out, arithmetic.finished(acc, places), places)

        def chunk_times_tile(tile: Expr, chunk: Expr, count: int) -> None:
            # The fewer registers of tokens, the more panels at once keep as many sums in flight.
            together = math.gcd(layout.vectors // count, per_chunk, full_panels)
            with serial(0, per_chunk // together) as offset:
                panel = tiles.held(chunk * per_chunk + offset * together)
                with T.If(panel < full_panels), T.Then(), tiles.own_registers():
                    panels_times_tile(panel, tile, (together, rows), count)
                if units % rows:
                    with T.If(panel == full_panels), T.Then(), tiles.own_registers():
                        panels_times_tile(full_panels, tile, (1, units % rows), count)
            first_unit = chunk * (per_chunk * rows)
            stop_unit = T.min(first_unit + per_chunk * rows, T.int64(units))
            tail.finish(out, tile, (first_unit, stop_unit), count)

        work = Work.of(layout, 2.0 * units * depth / arithmetic.speed, units)
        parts = -(-panels // per_chunk)
        tiles.compute("packed_dense", parts, work, chunk_times_tile, evenly=True)

    return prim_func(body)
