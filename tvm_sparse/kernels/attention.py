"""Softmax attention on token tiles: one kernel for scores, mask, softmax and context.

A parallel iteration takes one head and some vectors of queries, few enough that their scores stay
in L1. Scores are kept transposed, keys down and queries across a register, so that the softmax runs
over rows lane by lane (no horizontal operation), and both products broadcast one operand and load
vectors of the other: nothing is ever transposed. Keys past `seq_len` are read only by those that
visit a window, and count for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.activations import exp2
from tvm_sparse.kernels.attention_keys import NOTHING_SEEN, Keys, in_groups
from tvm_sparse.kernels.attention_queries import each_query
from tvm_sparse.kernels.attention_shape import AttentionShape
from tvm_sparse.kernels.attention_terms import LOG2_E, ScoreTerms
from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.vector import (
    Bind,
    Buffer,
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


def make_attention(
    layout: TokenLayout, shape: AttentionShape, vectors: int, rows: int, shares: int = 1
) -> tvm.tirx.PrimFunc:
    """Make the kernel.

    Parameters
    ----------
    layout, shape
        Of query, key, value and out; heads, offsets, scale, what is added to scores.
    vectors : int
        Vectors of queries that one parallel iteration takes; divides those of a token tile.
    rows : int
        Keys, or value features, accumulated together.
    shares : int
        Parts into which threads divide the tiles of a sequence; a divisor of their number.

    Returns
    -------
    PrimFunc
        (query, key, value: (tiles, features, T) each, [mask (mask_batch, seq_len)],
        [bias (*shape.bias, seq_len, tokens in tiles): by keys, then queries], [to_position],
        [from_position]: (heads, head_dim, `distance_width`) each, [tile_map],
        out (tiles, heads * value_dim, T)).
    """
    lanes, tile_size = layout.lanes, layout.token_tile
    most = vectors
    sharing = shape.heads // (shape.key_heads or shape.heads)

    def body() -> None:
        tiles = TokenTiles(layout)
        query, key, value = (
            argument(name, tiles.shape(extent))
            for name, extent in zip(("query", "key", "value"), shape.features, strict=True)
        )
        terms = ScoreTerms(tiles, shape)
        tiles.declare_map()
        out = argument("out", tiles.shape(shape.heads * shape.value_dim))

        def attend(
            head: Expr,
            query_tile: Expr,
            first_token: Expr | int,
            vectors: int,
            scores: Buffer,
        ) -> None:
            batch, first_tile, length = tiles.sequence_of(query_tile)
            key_head = head if sharing == 1 else tiles.held(T.floordiv(head, sharing))
            first_query = tiles.position(query_tile) + first_token
            width = vectors * lanes
            keys = Keys(tiles, shape, first_query, width, length)
            # The fewer vectors, the more rows keep as many sums in flight.
            together = rows * (most // vectors)
            top = Registers(vectors, lanes)
            top.fill(-3.0e38)

            def score_rows(
                key_tile: int | Expr, first_key: Expr | int, behind: Sequence[int]
            ) -> None:
                """Scores of keys so far behind one of a tile, as powers of two; their maximum."""
                acc = Registers(len(behind) * vectors, lanes)
                acc.fill(0.0)
                of_tile, first_key = tiles.held(first_tile + key_tile), tiles.held(first_key)
                first_position = tiles.held(key_tile * tile_size + first_key)
                with serial(0, shape.head_dim) as d:
                    of_query = tiles.held(_feature(shape, 0, head, d))
                    of_key = tiles.held(_feature(shape, 1, key_head, d))
                    q = [
                        load(query, tiles.place(query_tile, of_query, v, first_token), lanes)
                        for v in range(vectors)
                    ]
                    for nth, row in enumerate(behind):
                        factor = broadcast(key[of_tile, of_key, first_key + row], lanes)
                        for v in range(vectors):
                            index = nth * vectors + v
                            apart = first_query + v * lanes - (first_position + row)
                            acc[index] = terms.product(acc[index], q[v], factor, head, d, apart)
                for nth, row in enumerate(behind):
                    position = tiles.held(first_position + row)
                    blocked = terms.of_key(batch, position, length)
                    for v in range(vectors):
                        score = acc[nth * vectors + v] * broadcast(shape.scale * LOG2_E, lanes)
                        for term in (
                            blocked,
                            terms.of_pair(batch, head, first_query + v * lanes, position),
                        ):
                            score = score if term is None else score + term
                        score = Bind(lanes)(score)
                        store(scores, score, [position * width + v * lanes], lanes)
                        higher = T.max(top[v], score)
                        if keys.may_pass_end:
                            higher = T.if_then_else(position < length, higher, top[v])
                        top[v] = higher

            def score_keys(key_tile: int | Expr, first: int | Expr, end: int | Expr) -> None:
                count = keys.together(together)
                if not terms.are_by_distance or keys.may_pass_end or end != tile_size:
                    in_groups(first, end, count, lambda row, n: score_rows(key_tile, row, range(n)))
                    return
                # Of a whole tile keys that lie as far apart as vectors of queries: what is loaded
                # for a distance then serves several.
                few = next(n for n in (16, 8, 4, 2, 1) if n <= max(1, min(count // vectors, lanes)))
                behind = [v * lanes + row for v in range(vectors) for row in range(few)]
                with serial(0, tile_size // width) as block, serial(0, lanes // few) as group:
                    score_rows(key_tile, block * width + group * few, behind)

            keys.score(score_keys, top)

            total = Registers(vectors, lanes)
            total.fill(0.0)
            with keys.each() as position:
                for v in range(vectors):
                    place = [position * width + v * lanes]
                    weight = exp2(Bind(lanes), load(scores, place, lanes) - top[v])
                    store(scores, weight, place, lanes)
                    total[v] = total[v] + weight
            for v in range(vectors):
                share = broadcast(1.0, lanes) / total[v]
                if shape.zeroes_unseen:
                    sees = top[v] > broadcast(NOTHING_SEEN, lanes)
                    share = T.Select(sees, share, broadcast(0.0, lanes))
                total[v] = share

            def context_rows(first: Expr | int, count: int) -> None:
                """`count` value features of the context."""
                acc = Registers(count * vectors, lanes)
                acc.fill(0.0)

                def accumulate(
                    key_tile: int | Expr, first_key: int | Expr, end: int | Expr
                ) -> None:
                    of_tile = tiles.held(first_tile + key_tile)
                    with serial(first_key, end) as j:
                        j = tiles.held(j)
                        start = tiles.held((key_tile * tile_size + j) * width)
                        weights = [load(scores, [start + v * lanes], lanes) for v in range(vectors)]
                        for row in range(count):
                            feature = _feature(shape, 2, key_head, first + row)
                            factor = broadcast(value[of_tile, feature, j], lanes)
                            for v in range(vectors):
                                index = row * vectors + v
                                acc[index] = acc[index] + factor * weights[v]

                keys.each_tile(accumulate)
                for row in range(count):
                    feature = head * shape.value_dim + first + row
                    for v in range(vectors):
                        place = tiles.place(query_tile, feature, v, first_token)
                        store(out, acc[row * vectors + v] * total[v], place, lanes)

            in_groups(0, shape.value_dim, together, context_rows)

        operations = 2.0 * shape.heads * (shape.head_dim + shape.value_dim)
        features = shape.heads * shape.value_dim
        each_query(tiles, shape.heads, features, operations, most, shares, attend)

    return prim_func(body)


def _feature(shape: AttentionShape, operand: int, head: Expr, d: Expr | int) -> Expr:
    dim = shape.value_dim if operand == 2 else shape.head_dim
    return head * dim + (shape.offsets[operand] + d)
