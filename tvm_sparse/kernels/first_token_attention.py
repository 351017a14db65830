"""Softmax attention of the first token of each sequence: one query over all keys in token tiles.

Keys lie across a register, so that scores come as vectors, and the softmax of them needs sums over
lanes, of which there is one a head. Query and out are row-major.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.activations import exp2
from tvm_sparse.kernels.attention_terms import LOG2_E
from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.vector import (
    Bind,
    Buffer,
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    flat,
    held,
    int64,
    load,
    parallel,
    prim_func,
    scratch,
    serial,
    store,
    transpose,
)

#: Sums in flight that hide the latency of a multiply-add.
_CHAINS = 8


@dataclass(frozen=True)
class FirstTokenHeads:
    """Heads and where their features lie.

    Attributes
    ----------
    heads, head_dim, value_dim : int
        Number of heads, features of a query/key and of a value per head.
    features, offsets : (int, int)
        Feature extents of the key and value tensors, and the first feature of each in its tensor.
    scale : float
        Factor on the scores.
    mask_batch : int or None
        Extent of the mask's batch axis, 1 or the batch (0 of an open layout); None without a mask.
    """

    heads: int
    head_dim: int
    value_dim: int
    features: tuple[int, int]
    offsets: tuple[int, int]
    scale: float
    mask_batch: int | None


def make_first_token_attention(layout: TokenLayout, shape: FirstTokenHeads) -> tvm.tirx.PrimFunc:
    """Make the kernel; `layout` is that of key and value.

    Returns
    -------
    PrimFunc
        (query (B, heads * head_dim), key, value: (tiles, features, T) each, [mask (mask_batch,
        seq_len)], [tile_map], out (B, heads * value_dim)).
    """
    lanes, tile_size = layout.lanes, layout.token_tile

    def body() -> None:
        tiles = TokenTiles(layout)
        batches, seq_len = tiles.rectangle()
        query = argument("query", (batches, shape.heads * shape.head_dim))
        key, value = (
            argument(name, tiles.shape(extent))
            for name, extent in zip(("key", "value"), shape.features, strict=True)
        )
        mask = None
        if shape.mask_batch is not None:
            mask = argument("mask", (shape.mask_batch or batches, seq_len))
        tiles.declare_map()
        out = argument("out", (batches, shape.heads * shape.value_dim))

        def placed(vector: Expr) -> tuple[Expr, Expr]:
            """Return the tile of a vector of its sequence, and its first token there."""
            of_tile = tile_size // lanes
            tile, within = T.floordiv(vector, of_tile), T.floormod(vector, of_tile)
            return tiles.held(tile), tiles.held(within * lanes)

        def attend(first_tile: Expr, head: Expr, scores: Buffer) -> None:
            sequence, _, length = tiles.sequence_of(first_tile)
            many = T.floordiv(length + (lanes - 1), lanes)
            count = held(many) if layout.is_open else -(-layout.seq_len // lanes)
            end = count * lanes
            with serial(0, length) as j:
                row = sequence if shape.mask_batch != 1 else 0
                start = T.float32(0.0) if mask is None else mask[row, j] * T.float32(LOG2_E)
                store(scores, start, [j], 1)
            _fill(scores, length, end, -3.0e38)

            top = Registers(1, lanes)
            top.fill(-3.0e38)
            chains = math.gcd(shape.head_dim, _CHAINS)
            with serial(0, count) as v:
                tile, token = placed(v)
                acc = Registers(chains, lanes)
                acc.fill(0.0)
                with serial(0, shape.head_dim // chains) as group:
                    for chain in range(chains):
                        d = head * shape.head_dim + group * chains + chain
                        place = [first_tile + tile, d + shape.offsets[0], token]
                        factor = broadcast(query[sequence, d], lanes)
                        acc[chain] = acc[chain] + factor * load(key, place, lanes)
                place = [v * lanes]
                score = acc[0]
                for chain in range(1, chains):
                    score = score + acc[chain]
                scaled = score * broadcast(shape.scale * LOG2_E, lanes)
                scaled = Bind(lanes)(scaled + load(scores, place, lanes))
                store(scores, scaled, place, lanes)
                top[0] = T.max(top[0], scaled)
            best = _over_lanes(top[0], lanes, T.max)

            with serial(0, count) as v:
                place = [v * lanes]
                weight = exp2(Bind(lanes), load(scores, place, lanes) - broadcast(best, lanes))
                store(scores, weight, place, lanes)
            _fill(scores, length, end, 0.0)
            total = Registers(1, lanes)
            total.fill(0.0)
            with serial(0, count) as v:
                total[0] = total[0] + load(scores, [v * lanes], lanes)
            weights = _over_lanes(total[0], lanes, operator.add)

            together = lanes if shape.value_dim % lanes == 0 else 1
            with serial(0, shape.value_dim // together) as group:
                acc = Registers(together, lanes)
                acc.fill(0.0)
                first = head * shape.value_dim + group * together
                with serial(0, count) as v:
                    tile, token = placed(v)
                    weight = Bind(lanes)(load(scores, [v * lanes], lanes))
                    for row in range(together):
                        place = [first_tile + tile, first + (row + shape.offsets[1]), token]
                        acc[row] = acc[row] + weight * load(value, place, lanes)
                if together == 1:
                    context = _over_lanes(acc[0], lanes, operator.add) / weights
                    store(out, context, [sequence, first], 1)
                else:
                    columns = transpose([acc[row] for row in range(together)])
                    sums = functools.reduce(operator.add, columns)
                    store(out, sums / broadcast(weights, lanes), [sequence, first], lanes)

        # Heads are the outer ones: few sequences give work to all threads too.
        with parallel(tiles.count * shape.heads, "first_token_attention") as unit:
            tile, head = held(T.floormod(unit, tiles.count)), held(T.floordiv(unit, tiles.count))
            size = tiles.count * tile_size
            scores = flat(scratch(size), size)
            with T.If(tiles.position(tile) == 0), T.Then():
                attend(tile, head, scores)

    return prim_func(body)


def _fill(buffer: Buffer, start: Expr | int, stop: Expr | int, number: float) -> None:
    with serial(start, stop) as place:
        T.buffer_store(buffer, T.float32(number), [place])


def _over_lanes(vector: Expr, lanes: int, combine: Callable[[Expr, Expr], Expr]) -> Expr:
    """Return what the lanes of a vector make together."""
    line, one = scratch(lanes), scratch(1)
    store(line, vector, [0], lanes)
    result = functools.reduce(combine, [line[int64(lane)] for lane in range(lanes)])
    T.buffer_store(one, result, [int64(0)])
    return one[int64(0)]
