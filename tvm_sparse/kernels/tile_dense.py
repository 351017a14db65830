"""Dense product of words on AMX's registers: out = activation(weight @ data + bias) + residual.

Two tiles of the weight meet two vectors of tokens, a register of sums for each two. What becomes of
sums is for vector instructions, which do not wait for AMX's: it is done between the products that
follow. A pair of tiles meets all vectors of a thread before the next pair does, so that weights
pass by once, while the tokens stay in L2.
"""

from __future__ import annotations

from dataclasses import dataclass

import tvm

from tvm_sparse.formats.int8_tiles import PAIR, packed_depth, step_words
from tvm_sparse.formats.quantized import AMX, TILE, WORD
from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels import amx
from tvm_sparse.kernels.arithmetic import WordArithmetic
from tvm_sparse.kernels.description import asserting
from tvm_sparse.kernels.epilogue import BoundEpilogue
from tvm_sparse.kernels.token_tiles import TokenTiles, Work
from tvm_sparse.kernels.vector import (
    Buffer,
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    held,
    int64,
    load,
    own_registers,
    parallel,
    prefetch,
    prim_func,
    scratch,
    serial,
    store,
    threads_of_run,
)

#: Vectors of tokens that a thread has before threads share tokens rather than outputs.
_LEAST_VECTORS = 4
#: Bytes of tokens that stay in L2 beside the weights that pass by.
_KEPT_BYTES = 1 << 20
#: Cache lines of weights that are asked for together.
_LINES = 4


@dataclass(frozen=True)
class Share:
    """What a thread computes: first and end of vectors of tokens, and of pairs of tiles."""

    vectors: tuple[Expr, Expr]
    pairs: tuple[Expr, Expr]


def make_tile_dense(
    layout: TokenLayout, units: int, depth: int, epilogue: Epilogue
) -> tvm.tirx.PrimFunc:
    """Make the kernel for one (units, depth): N outputs and K inputs.

    Returns
    -------
    PrimFunc
        (data (tiles, K / 4 + 2, T) int32, weight (pairs, steps, 32, words) int32, scales (N,),
        sums (N,) int32, [bias (N,)], [residual], [tile_map], out (tiles, N, T)), see
        `formats.int8_tiles`.
    """
    words = step_words(depth)
    steps, pairs = packed_depth(depth) // (WORD * words), -(-units // PAIR)
    per_tile = layout.token_tile // TILE
    filled = -(-layout.seq_len // TILE)
    together = max(2, _KEPT_BYTES // (TILE * depth) // 2 * 2)

    def body() -> None:
        tiles, arithmetic = TokenTiles(layout), WordArithmetic(layout, AMX)
        data = argument("data", tiles.shape(arithmetic.rows(depth)), "int32")
        weight = argument("weight", (pairs, steps, PAIR, words), "int32")
        arithmetic.declare(data, units, depth)
        tail = BoundEpilogue.declare(epilogue, units, tiles)
        tiles.declare_map()
        out = argument("out", tiles.shape(units))

        # A share is one vector where that is all there is, or at the end of one that is cut.
        num_vectors, counts = (
            int64(tiles.count if layout.is_open else filled * layout.batch),
            [1, 2],
        )
        if not layout.is_open and filled * layout.batch <= together:
            counts = [min(filled * layout.batch, 2)]

        def place(vector: Expr, feature: Expr) -> list[Expr]:
            if per_tile == 1:
                return [vector, feature, int64(0)]
            # Of the last tile of a sequence those with tokens.
            sequence, vector = T.floordiv(vector, filled), T.floormod(vector, filled)
            tile = sequence * layout.tiles_per_sequence + T.floordiv(vector, per_tile)
            return [tile, feature, T.floormod(vector, per_tile) * TILE]

        def add_step(k: Expr, pair: Expr, vectors: list[Expr]) -> None:
            """Add the products of a step, in the order in which what they need is loaded."""
            word = held(T.min(k * words, int64(depth // WORD - words)))
            for nth, vector in enumerate(vectors):
                tokens = amx.TOKENS[nth]
                amx.load_register(tokens, data, place(vector, word), layout.token_tile)
                for tile, register in enumerate(amx.WEIGHTS):
                    if nth == 0:
                        amx.load_register(register, weight, [pair, k, tile * TILE, 0], words)
                    amx.multiply(amx.SUMS[2 * nth + tile], register, tokens)

        def ask(line: Expr, groups: Expr) -> None:
            """Ask for lines of weights; into L2, since L1 holds what is multiplied now."""
            with serial(0, groups) as group:
                for nth in range(_LINES):
                    first = (line + group * _LINES + nth) * words
                    prefetch(weight.elements, [first], nearest=False)

        def finish(sums: Buffer, pair: Expr, vectors: list[Expr], first: Expr, count: int) -> None:
            """Store what the sums of some outputs of a pair stand for."""

            def finish_unit(row: Expr, unit: Expr) -> None:
                places = [place(vector, unit) for vector in vectors]
                acc = Registers(len(vectors), TILE, "int32")
                arithmetic.start(acc, places)
                for nth in range(acc.count):
                    where = (row * len(vectors) + nth) * TILE
                    acc[nth] = acc[nth] + load(sums, [where], TILE)
                for value, where in zip(arithmetic.finished(acc, places), places, strict=True):
                    store(out, tail.finished(value, where, TILE), where, TILE)

            with serial(first, first + count) as row:
                unit = held(pair * PAIR + row)
                if units % PAIR == 0:
                    finish_unit(row, unit)
                else:
                    with T.If(unit < units), T.Then():
                        finish_unit(row, unit)

        def sweep(share: Share, sums: Buffer, count: int) -> None:
            """Multiply the pairs by the vectors, so many at a time."""
            (first, stop), (first_pair, stop_pair) = share.vectors, share.pairs
            columns = held(T.floordiv(stop - first + (count - 1), int64(count)))
            blocks = held((stop_pair - first_pair) * columns)
            groups = held(T.floordiv(PAIR // _LINES + columns - 1, columns))
            registers = amx.SUMS[: 2 * count]

            def of_block(block: Expr) -> tuple[Expr, list[Expr]]:
                # Of an odd number of vectors the last ones are one that was there, and another.
                column = T.floormod(block, columns)
                start = held(T.min(first + column * count, stop - count))
                pair = held(first_pair + T.floordiv(block, columns))
                return pair, [start, *(held(start + nth) for nth in range(1, count))]

            # So many outputs of the block before are finished in each of the first steps.
            rows = next(n for n in (1, 2, 4, 8, 16, 32) if PAIR // n <= steps)
            with serial(0, blocks) as block, own_registers():
                pair, vectors = of_block(block)
                # Of the first block it is rubbish, which is overwritten.
                before, finished = of_block(T.max(block - 1, int64(0)))
                column = held(T.floormod(block, columns))
                next_line = held((pair + 1) * (steps * PAIR) + column * groups * (_LINES * steps))
                for register in registers:
                    amx.clear(register)
                for begin, end in ((0, PAIR // rows), (PAIR // rows, steps)):
                    with serial(begin, end) as k, own_registers():
                        add_step(k, pair, vectors)
                        ask(held(next_line + k * groups * _LINES), groups)
                        if begin == 0:
                            finish(sums, before, finished, k * rows, rows)
                for register in registers:
                    nth, tile = divmod(register, 2)
                    where = (tile * TILE * count + nth) * TILE
                    amx.store_register(register, sums, [where], count * TILE)
            with serial(0, T.Cast("int64", blocks > 0)), own_registers():
                pair, vectors = of_block(blocks - 1)
                finish(sums, pair, vectors, int64(0), PAIR)

        def compute(share: Share) -> None:
            first, stop = share.vectors
            sums = scratch(2 * PAIR * TILE, "int32")
            with serial(0, 2 * PAIR) as row:
                store(sums, broadcast(0, TILE, "int32"), [row * TILE], TILE)
            parts = T.floordiv(stop - first + (together - 1), int64(together))
            with amx.configured(words), serial(0, parts) as part:
                start = held(first + part * together)
                end = held(T.min(start + together, stop))
                for count in counts:
                    is_right = end - start == 1 if count == 1 else end - start > 1
                    with T.If(is_right), T.Then(), own_registers():
                        sweep(Share((start, end), share.pairs), sums, count)

        def alone() -> None:
            compute(Share((int64(0), num_vectors), (int64(0), int64(pairs))))

        def shared(thread: Expr, threads: Expr) -> None:
            # Those who share no tokens read all weights, and find tokens where they left them.
            by_tokens = T.Cast("int64", num_vectors >= threads * _LEAST_VECTORS)
            blocks = held(T.max(threads * by_tokens, int64(1)))
            parts = held(T.floordiv(threads, blocks))
            block, part = held(T.floordiv(thread, parts)), held(T.floormod(thread, parts))
            edges = [
                tuple(held(T.floordiv((nth + edge) * count, shares)) for edge in (0, 1))
                for nth, count, shares in ((block, num_vectors, blocks), (part, pairs, parts))
            ]
            compute(Share(*edges))

        work = Work.of(layout, 2.0 * units * depth / arithmetic.speed, units)
        with amx.permitted():
            if not layout.is_open and not work.pays:
                with parallel(1, "tile_dense"):
                    alone()
                return
            threads = threads_of_run()
            with (
                tiles.unless_few("tile_dense", work.alone if layout.is_open else 0, alone),
                parallel(threads, "tile_dense") as thread,
            ):
                shared(thread, threads)

    return asserting(prim_func(body))
