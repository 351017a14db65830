"""Softmax attention on token tiles: one kernel for scores, mask, softmax and context.

A parallel iteration takes one head and one tile of queries. Scores are kept transposed, keys down
and queries across a register, so that the softmax runs over rows lane by lane (no horizontal
operation), and both products broadcast one operand and load vectors of the other: nothing is ever
transposed. Keys past `seq_len` are never read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tvm

from tvm_sparse.kernels.activations import exp
from tvm_sparse.kernels.tiling import TokenLayout
from tvm_sparse.kernels.vector import (
    Bind,
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    load,
    parallel,
    prim_func,
    serial,
    store,
    workspace,
)


@dataclass(frozen=True)
class AttentionShape:
    """Heads and where their features lie.

    Attributes
    ----------
    heads, head_dim, value_dim : int
        Number of heads, features of a query/key and of a value per head.
    features : (int, int, int)
        Feature extents of the query, key and value tensors.
    offsets : (int, int, int)
        First feature of query, key and value in their tensors (a fused product holds all three).
    scale : float
        Factor on the scores.
    mask_batch : int or None
        Extent of the mask's batch axis, 1 or the batch; None without a mask.
    """

    heads: int
    head_dim: int
    value_dim: int
    features: tuple[int, int, int]
    offsets: tuple[int, int, int]
    scale: float
    mask_batch: int | None


def make_attention(layout: TokenLayout, shape: AttentionShape, rows: int) -> tvm.tirx.PrimFunc:
    """Make the kernel.

    Parameters
    ----------
    layout : TokenLayout
        Of query, key, value and out.
    shape : AttentionShape
        Heads, offsets, scale.
    rows : int
        Keys, or value features, accumulated together.

    Returns
    -------
    PrimFunc
        (query, key, value: (tiles, features, T) each, [mask (mask_batch, seq_len)],
        out (tiles, heads * value_dim, T)).
    """
    lanes, vectors = layout.lanes, layout.vectors
    tile, tiles = layout.token_tile, layout.tiles_per_sequence

    def body() -> None:
        query, key, value = (
            argument(name, layout.shape(extent))
            for name, extent in zip(("query", "key", "value"), shape.features, strict=True)
        )
        mask = (
            argument("mask", (shape.mask_batch, layout.seq_len))
            if shape.mask_batch is not None
            else None
        )
        out = argument("out", layout.shape(shape.heads * shape.value_dim))

        with parallel(layout.batch * shape.heads * tiles, "attention") as unit:
            batch = T.floordiv(unit, shape.heads * tiles)
            head = T.floormod(T.floordiv(unit, tiles), shape.heads)
            first_tile = batch * tiles
            query_tile = first_tile + T.floormod(unit, tiles)
            scores = workspace(layout.seq_len * tile)
            top = Registers(vectors, lanes)
            top.fill(-3.0e38)

            def score_rows(key_tile: int | Expr, first_key: Expr | int, count: int) -> None:
                """Scores of `count` keys of one tile, and their running maximum."""
                acc = Registers(count * vectors, lanes)
                acc.fill(0.0)
                with serial(0, shape.head_dim) as d:
                    q = [
                        load(
                            query,
                            [query_tile, _feature(shape, 0, head, d), v * lanes],
                            lanes,
                        )
                        for v in range(vectors)
                    ]
                    for row in range(count):
                        factor = broadcast(
                            key[
                                first_tile + key_tile, _feature(shape, 1, head, d), first_key + row
                            ],
                            lanes,
                        )
                        for v in range(vectors):
                            acc[row * vectors + v] = acc[row * vectors + v] + factor * q[v]
                for row in range(count):
                    position = key_tile * tile + first_key + row
                    for v in range(vectors):
                        score = acc[row * vectors + v] * broadcast(shape.scale, lanes)
                        if mask is not None:
                            score = score + broadcast(
                                mask[batch if shape.mask_batch != 1 else 0, position], lanes
                            )
                        score = Bind(lanes)(score)
                        store(scores, score, [position * tile + v * lanes], lanes)
                        top[v] = T.max(top[v], score)

            _for_each_group(layout.seq_len, tile, rows, score_rows)

            total = Registers(vectors, lanes)
            total.fill(0.0)
            with serial(0, layout.seq_len) as position:
                for v in range(vectors):
                    bind = Bind(lanes)
                    weight = exp(bind, load(scores, [position * tile + v * lanes], lanes) - top[v])
                    store(scores, weight, [position * tile + v * lanes], lanes)
                    total[v] = total[v] + weight
            for v in range(vectors):
                total[v] = broadcast(1.0, lanes) / total[v]

            def context_rows(first: Expr | int, count: int) -> None:
                """`count` value features of the context."""
                acc = Registers(count * vectors, lanes)
                acc.fill(0.0)

                def accumulate(key_tile: int | Expr, keys: int) -> None:
                    with serial(0, keys) as j:
                        start = (key_tile * tile + j) * tile
                        weights = [load(scores, [start + v * lanes], lanes) for v in range(vectors)]
                        for row in range(count):
                            factor = broadcast(
                                value[
                                    first_tile + key_tile,
                                    _feature(shape, 2, head, first + row),
                                    j,
                                ],
                                lanes,
                            )
                            for v in range(vectors):
                                acc[row * vectors + v] = (
                                    acc[row * vectors + v] + factor * weights[v]
                                )

                full, rest = divmod(layout.seq_len, tile)
                if full:
                    with serial(0, full) as key_tile:
                        accumulate(key_tile, tile)
                if rest:
                    accumulate(full, rest)
                for row in range(count):
                    for v in range(vectors):
                        store(
                            out,
                            acc[row * vectors + v] * total[v],
                            [query_tile, head * shape.value_dim + first + row, v * lanes],
                            lanes,
                        )

            groups, rest = divmod(shape.value_dim, rows)
            if groups:
                with serial(0, groups) as group:
                    context_rows(group * rows, rows)
            if rest:
                context_rows(groups * rows, rest)

    return prim_func(body)


def _feature(shape: AttentionShape, operand: int, head: Expr, d: Expr | int) -> Expr:
    dim = shape.value_dim if operand == 2 else shape.head_dim
    return head * dim + (shape.offsets[operand] + d)


def _for_each_group(
    seq_len: int, tile: int, rows: int, emit: Callable[[int | Expr, int | Expr, int], None]
) -> None:
    """Call emit(key_tile, first_key, count) so that every key is met once, tails included."""
    full, rest = divmod(seq_len, tile)

    def within(key_tile: int | Expr, keys: int) -> None:
        groups, left = divmod(keys, rows)
        if groups:
            with serial(0, groups) as group:
                emit(key_tile, group * rows, rows)
        if left:
            emit(key_tile, groups * rows, left)

    if full:
        with serial(0, full) as key_tile:
            within(key_tile, tile)
    if rest:
        within(full, rest)
