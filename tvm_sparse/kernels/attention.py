"""Softmax attention on token tiles: one kernel for scores, mask, softmax and context.

A parallel iteration takes one head and some vectors of queries, few enough that their scores stay
in L1. Scores are kept transposed, keys down
and queries across a register, so that the softmax runs over rows lane by lane (no horizontal
operation), and both products broadcast one operand and load vectors of the other: nothing is ever
transposed. Keys past `seq_len` are never read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.activations import exp2
from tvm_sparse.kernels.attention_queries import each_query
from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.vector import (
    Bind,
    Buffer,
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    held,
    int64,
    load,
    prim_func,
    serial,
    store,
)

#: exp(x) = 2**(x log2 e): the factor joins the scale of the scores.
_LOG2_E = math.log2(math.e)


@dataclass(frozen=True)
class AttentionShape:
    """Heads and where their features lie.

    Attributes
    ----------
    heads, head_dim, value_dim : int
        Number of heads, features of a query/key and of a value per head.
    features, offsets : (int, int, int)
        Feature extents of the query, key and value tensors, and the first feature of each in its
        tensor (a fused product holds all three).
    scale : float
        Factor on the scores.
    mask_batch : int or None
        Extent of the mask's batch axis, 1 or the batch (0 of an open layout); None without a mask.
    """

    heads: int
    head_dim: int
    value_dim: int
    features: tuple[int, int, int]
    offsets: tuple[int, int, int]
    scale: float
    mask_batch: int | None


def make_attention(
    layout: TokenLayout, shape: AttentionShape, vectors: int, rows: int, shares: int = 1
) -> tvm.tirx.PrimFunc:
    """Make the kernel.

    Parameters
    ----------
    layout, shape
        Of query, key, value and out; heads, offsets, scale.
    vectors : int
        Vectors of queries that one parallel iteration takes; divides those of a token tile.
    rows : int
        Keys, or value features, accumulated together.
    shares : int
        Parts into which threads divide the tiles of a sequence; a divisor of their number.

    Returns
    -------
    PrimFunc
        (query, key, value: (tiles, features, T) each, [mask (mask_batch, seq_len)], [tile_map],
        out (tiles, heads * value_dim, T)).
    """
    lanes, tile_size = layout.lanes, layout.token_tile
    most = vectors

    def body() -> None:
        tiles = TokenTiles(layout)
        query, key, value = (
            argument(name, tiles.shape(extent))
            for name, extent in zip(("query", "key", "value"), shape.features, strict=True)
        )
        mask = None
        if shape.mask_batch is not None:
            batches, seq_len = tiles.rectangle()
            mask = argument("mask", (shape.mask_batch or batches, seq_len))
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
            width = vectors * lanes
            top = Registers(vectors, lanes)
            top.fill(-3.0e38)

            def score_rows(key_tile: int | Expr, first_key: Expr | int, count: int) -> None:
                """Scores of `count` keys of one tile as powers of two, and their maximum."""
                acc = Registers(count * vectors, lanes)
                acc.fill(0.0)
                of_tile, first_key = tiles.held(first_tile + key_tile), tiles.held(first_key)
                with serial(0, shape.head_dim) as d:
                    of_query, of_key = (
                        tiles.held(_feature(shape, operand, head, d)) for operand in (0, 1)
                    )
                    q = [
                        load(query, tiles.place(query_tile, of_query, v, first_token), lanes)
                        for v in range(vectors)
                    ]
                    for row in range(count):
                        value_of_key = key[of_tile, of_key, first_key + row]
                        factor = broadcast(value_of_key, lanes)
                        for v in range(vectors):
                            acc[row * vectors + v] = acc[row * vectors + v] + factor * q[v]
                for row in range(count):
                    position = tiles.held(key_tile * tile_size + first_key + row)
                    blocked = None
                    if mask is not None:
                        at = T.min(position, length - 1) if layout.is_open else position
                        entry = mask[batch if shape.mask_batch != 1 else 0, at]
                        blocked = broadcast(entry * T.float32(_LOG2_E), lanes)
                    for v in range(vectors):
                        score = acc[row * vectors + v] * broadcast(shape.scale * _LOG2_E, lanes)
                        score = Bind(lanes)(score if blocked is None else score + blocked)
                        store(scores, score, [position * width + v * lanes], lanes)
                        higher = T.max(top[v], score)
                        if layout.is_open:
                            higher = T.if_then_else(position < length, higher, top[v])
                        top[v] = higher

            def of_every_key(emit: Callable[[int | Expr, int | Expr], None]) -> None:
                """Call emit(key_tile, keys) for the full tiles, in a loop, and for what is left."""
                if layout.is_open:
                    with serial(
                        0, held(T.floordiv(length + (tile_size - 1), tile_size))
                    ) as key_tile:
                        keys = T.min(length - key_tile * tile_size, int64(tile_size))
                        emit(key_tile, held(keys))
                    return
                full, rest = divmod(layout.seq_len, tile_size)
                if full:
                    with serial(0, full) as key_tile:
                        emit(key_tile, tile_size)
                if rest:
                    emit(full, rest)

            of_every_key(
                # No more than a tile has: of an open layout every group is whole.
                lambda key_tile, keys: _in_groups(
                    keys,
                    min(rows, layout.token_tile),
                    lambda first, count: score_rows(key_tile, first, count),
                )
            )

            total = Registers(vectors, lanes)
            total.fill(0.0)
            with serial(0, length) as position:
                for v in range(vectors):
                    place = [position * width + v * lanes]
                    weight = exp2(Bind(lanes), load(scores, place, lanes) - top[v])
                    store(scores, weight, place, lanes)
                    total[v] = total[v] + weight
            for v in range(vectors):
                total[v] = broadcast(1.0, lanes) / total[v]

            def context_rows(first: Expr | int, count: int) -> None:
                """`count` value features of the context."""
                acc = Registers(count * vectors, lanes)
                acc.fill(0.0)

                def accumulate(key_tile: int | Expr, keys: int | Expr) -> None:
                    of_tile = tiles.held(first_tile + key_tile)
                    with serial(0, keys) as j:
                        j = tiles.held(j)
                        start = tiles.held((key_tile * tile_size + j) * width)
                        weights = [load(scores, [start + v * lanes], lanes) for v in range(vectors)]
                        for row in range(count):
                            feature = _feature(shape, 2, head, first + row)
                            factor = broadcast(value[of_tile, feature, j], lanes)
                            for v in range(vectors):
                                index = row * vectors + v
                                acc[index] = acc[index] + factor * weights[v]

                of_every_key(accumulate)
                for row in range(count):
                    feature = head * shape.value_dim + first + row
                    for v in range(vectors):
                        place = tiles.place(query_tile, feature, v, first_token)
                        store(out, acc[row * vectors + v] * total[v], place, lanes)

            _in_groups(shape.value_dim, rows * (most // vectors), context_rows)

        operations = 2.0 * shape.heads * (shape.head_dim + shape.value_dim)
        each_query(tiles, shape.heads, operations, most, shares, attend)

    return prim_func(body)


def _feature(shape: AttentionShape, operand: int, head: Expr, d: Expr | int) -> Expr:
    dim = shape.value_dim if operand == 2 else shape.head_dim
    return head * dim + (shape.offsets[operand] + d)


def _in_groups(total: int | Expr, most: int, emit: Callable[[int | Expr, int], None]) -> None:
    """Call emit(first, count) for groups of `most` in a loop, and for what is left.

    Of a total that only the run knows, the last group is whole too.
    """
    if not isinstance(total, int):
        with serial(0, held(T.floordiv(total + (most - 1), most))) as group:
            emit(group * most, most)
        return
    groups, rest = divmod(total, most)
    if groups:
        with serial(0, groups) as group:
            emit(group * most, most)
    if rest:
        emit(groups * most, rest)
