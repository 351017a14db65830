"""Token tiles as words of small integers, each token with a scale and a zero point of its own.

A token's values lie between its least and its largest, zero among them, in 254 steps: a value x is
q = round(x / s + z) of 0..255. The zero point z is one more than the whole steps below zero, so
that neither end leaves the range, however the divisions round, and nothing has to be clipped. A
token with a value that is no number has such a scale, and so do all that is made of it.
"""

from __future__ import annotations

from dataclasses import replace

import tvm

from tvm_sparse.formats.quantized import TOKEN_WORDS, WORD
from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.token_tiles import TokenTiles, Work
from tvm_sparse.kernels.vector import (
    Bind,
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    load,
    prim_func,
    serial,
    store,
)

#: Steps between the least and the largest value of a token.
STEPS = 254
#: Below it a range counts as this much, which keeps its inverse finite.
LEAST_RANGE = 1e-20
# Added to a number, it leaves the nearest whole one in the low bits of the sum.
_ROUND, _ROUND_BITS = float(3 << 22), 0x4B400000
# What the four rounding numbers of a word add to it, as a signed number.
_EXCESS = (_ROUND_BITS * 0x01010101 + (1 << 31)) % (1 << 32) - (1 << 31)
_OPERATIONS_PER_VALUE = 20


def make_quantize_tokens(
    layout: TokenLayout, features: int, vectors: int, smoothed: bool = False
) -> tvm.tirx.PrimFunc:
    """Make the kernel that rounds the values of tokens.

    Parameters
    ----------
    layout, features
        Of data; F, a multiple of 4.
    vectors : int
        Vectors of tokens that one parallel iteration takes, as in a layer norm.
    smoothed : bool
        Whether features are multiplied by factors first.

    Returns
    -------
    PrimFunc
        (data (tiles, F, T), [factors (F,)], [tile_map], out (tiles, F / 4 + 2, T) int32): words,
        minus the zero point, and the bits of the scale.
    """
    lanes = layout.lanes
    parts = layout.token_tile // lanes // vectors
    words = features // WORD

    def body() -> None:
        tiles = TokenTiles(replace(layout, together=1))
        data = argument("data", tiles.shape(features))
        factors = argument("factors", (features,)) if smoothed else None
        tiles.declare_map()
        out = argument("out", tiles.shape(words + TOKEN_WORDS), "int32")
        bind, whole = Bind(lanes), Bind(lanes, "int32")

        def quantize(tile: Expr, first_token: Expr, vectors: int) -> None:
            def value(feature: Expr, vector: int) -> Expr:
                found = load(data, tiles.place(tile, feature, vector, first_token), lanes)
                return found if factors is None else found * broadcast(factors[feature], lanes)

            def write(word: Expr, row: Expr, vector: int) -> None:
                store(out, word, tiles.place(tile, row, vector, first_token), lanes)

            lowest, highest = (Registers(WORD * vectors, lanes) for _ in range(2))
            lowest.fill(0.0)
            highest.fill(0.0)
            with serial(0, words) as word:
                for nth in range(WORD):
                    for vector in range(vectors):
                        index, found = (
                            nth * vectors + vector,
                            bind(value(word * WORD + nth, vector)),
                        )
                        lowest[index] = T.min(lowest[index], found)
                        highest[index] = T.max(highest[index], found)
            inverse, shift, scale, total = (Registers(vectors, lanes) for _ in range(4))
            for vector in range(vectors):
                low, high = lowest[vector], highest[vector]
                for nth in range(1, WORD):
                    low = T.min(low, lowest[nth * vectors + vector])
                    high = T.max(high, highest[nth * vectors + vector])
                low = bind(low)
                extent = bind(T.max(bind(high) - low, bind.const(LEAST_RANGE)))
                inverse[vector] = bind.const(float(STEPS)) / extent
                zero = whole(
                    T.Cast(f"int32x{lanes}", bind.const(0.0) - low * inverse[vector])
                    + whole.const(1)
                )
                shift[vector] = T.Cast(f"float32x{lanes}", zero) + bind.const(_ROUND)
                scale[vector] = extent * bind.const(1.0 / STEPS)
                write(whole.const(0) - zero, T.int64(words), vector)
            total.fill(0.0)
            with serial(0, words) as word:
                for vector in range(vectors):
                    rounded = [
                        bind(value(word * WORD + nth, vector) * inverse[vector] + shift[vector])
                        for nth in range(WORD)
                    ]
                    first, second, third, fourth = rounded
                    total[vector] = total[vector] + ((first + second) + (third + fourth))
                    # The last value of a word comes first: each takes the place above the next.
                    packed = whole.const(0)
                    for part in reversed(rounded):
                        bits = T.reinterpret(f"int32x{lanes}", part)
                        packed = T.shift_left(packed, whole.const(8)) + bits
                    write(packed - whole.const(_EXCESS), word, vector)
            for vector in range(vectors):
                # Maxima forget what is no number; a sum does not.
                known = bind(scale[vector] + total[vector] * bind.const(0.0))
                write(T.reinterpret(f"int32x{lanes}", known), T.int64(words + 1), vector)

        work = Work.of(layout, _OPERATIONS_PER_VALUE * features, features)
        tiles.compute(
            "quantize_tokens",
            parts,
            work,
            lambda tile, part, count: quantize(tile, part * (vectors * lanes), min(vectors, count)),
        )

    return prim_func(body)
