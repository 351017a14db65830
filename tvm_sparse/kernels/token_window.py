"""Weighted sums of neighbouring tokens: convolutions along the tokens of a sequence.

Each feature of a token becomes a sum of that feature of the tokens around it. Weights are those of
the feature (depthwise convolution), or each token brings its own for each group of features, of
which a softmax is taken (dynamic convolution). In front of a sequence and behind it are zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.activations import exp2
from tvm_sparse.kernels.token_tiles import TokenTiles, Work
from tvm_sparse.kernels.vector import (
    Argument,
    Bind,
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    int32,
    load,
    prim_func,
    serial,
    store,
)

#: Of a feature of a token and a neighbour: a multiply-add, and moving it into place.
_OPERATIONS = 3
#: Features in a parallel iteration of a depthwise convolution.
_FEATURES = 64


@dataclass(frozen=True)
class WindowShape:
    """What is summed.

    Attributes
    ----------
    features, offset, total : int
        Features of the result, the first of them in the data, and the features of that.
    taps, before : int
        Tokens that are summed, and how many of them are in front of the token itself. Neither
        these nor those behind it are more than the lanes of a register.
    groups : int
        Groups of features that share the weights of a token; 0 for weights of features.
    weights_offset, weights_total : int
        Where the weights of tokens begin in their tensor, and the features of that.
    """

    features: int
    offset: int
    total: int
    taps: int
    before: int
    groups: int = 0
    weights_offset: int = 0
    weights_total: int = 0


def make_token_window(layout: TokenLayout, shape: WindowShape) -> tvm.tirx.PrimFunc:
    """Make the kernel, for a layout that is not open.

    Returns
    -------
    PrimFunc
        (data (tiles, total, T), weights (features, taps) or (tiles, weights_total, T), out
        (tiles, features, T)). The weights of a group are neighbours, tap by tap.
    """
    lanes, taps = layout.lanes, shape.taps
    size = shape.features // shape.groups if shape.groups else _block(shape.features)

    def body() -> None:
        tiles = TokenTiles(layout)
        data = argument("data", tiles.shape(shape.total))
        of_tokens = tiles.shape(shape.weights_total)
        weights = argument("weights", of_tokens if shape.groups else (shape.features, taps))
        out = argument("out", tiles.shape(shape.features))

        def compute(tile: Expr, part: Expr, vectors: int) -> None:
            if shape.groups:
                first = part * taps + shape.weights_offset
                shared = _softmax(weights, tiles, tile, first, taps, vectors, lanes)

            with serial(0, size) as nth:
                feature = part * size + nth
                line = _line(data, tiles, tile, feature + shape.offset, vectors)
                for vector in range(vectors):
                    total = broadcast(0.0, lanes)
                    for tap in range(taps):
                        weight = (
                            shared[tap * vectors + vector]
                            if shape.groups
                            else broadcast(weights[feature, tap], lanes)
                        )
                        total = total + weight * _shifted(
                            line, vector + 1, tap - shape.before, lanes
                        )
                    store(out, total, tiles.place(tile, feature, vector), lanes)

        work = Work.of(layout, _OPERATIONS * taps * shape.features, shape.features)
        tiles.compute("token_window", shape.features // size, work, compute)

    return prim_func(body)


def _block(features: int) -> int:
    return next(n for n in range(min(_FEATURES, features), 0, -1) if features % n == 0)


def _softmax(
    logits: Argument,
    tiles: TokenTiles,
    tile: Expr,
    first: Expr,
    taps: int,
    vectors: int,
    lanes: int,
) -> Registers:
    """Return the softmax of so many features of a tile from the first on, tap by tap."""
    result = Registers(taps * vectors, lanes)
    for vector in range(vectors):
        bind = Bind(lanes)
        values = [
            bind(load(logits, tiles.place(tile, first + tap, vector), lanes)) for tap in range(taps)
        ]
        most = values[0]
        for value in values[1:]:
            most = bind(T.max(most, value))
        powers = [exp2(bind, (value - most) * bind.const(math.log2(math.e))) for value in values]
        total = powers[0]
        for power in powers[1:]:
            total = total + power
        inverse = bind(bind.const(1.0) / total)
        for tap, power in enumerate(powers):
            result[tap * vectors + vector] = power * inverse
    return result


def _line(data: Argument, tiles: TokenTiles, tile: Expr, feature: Expr, vectors: int) -> list[Expr]:
    """Return a feature of the tokens of a tile, a register of those before, one of those behind."""
    layout, lanes, bind = tiles.layout, tiles.layout.lanes, Bind(tiles.layout.lanes)
    inner = [bind(load(data, tiles.place(tile, feature, n), lanes)) for n in range(vectors)]
    is_last = tiles.is_last(tile)
    live = layout.seq_len % lanes
    if live and vectors == layout.last_vectors:
        # Behind the end of a sequence a register holds anything that is finite.
        place = T.ramp(int32(0), int32(1), lanes)
        cut = T.Select(place < T.broadcast(int32(live), lanes), inner[-1], bind.const(0.0))
        inner[-1] = bind(T.Select(is_last, cut, inner[-1]))
    if layout.tiles_per_sequence == 1:
        return [bind.const(0.0), *inner, bind.const(0.0)]

    def neighbour(at: Expr, first_token: int, is_outside: Expr) -> Expr:
        inside = T.min(T.max(at, 0), layout.num_tiles - 1)
        value = load(data, [inside, feature, first_token], lanes)
        return bind(T.Select(is_outside, bind.const(0.0), value))

    is_first = T.floormod(tile, layout.tiles_per_sequence) == 0
    before = neighbour(tile - 1, layout.token_tile - lanes, is_first)
    return [before, *inner, neighbour(tile + 1, 0, is_last)]


def _shifted(line: list[Expr], at: int, distance: int, lanes: int) -> Expr:
    """Return the tokens that lie so far behind those of a register, before them if negative."""
    if distance % lanes == 0:
        return line[at + distance // lanes]
    first = at + distance // lanes
    order = [int32(distance % lanes + lane) for lane in range(lanes)]
    return tvm.tirx.Shuffle([line[first], line[first + 1]], order)
