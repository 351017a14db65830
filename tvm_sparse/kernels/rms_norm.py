"""RMS normalisation over the features of token tiles, all of them or those of each head."""

from __future__ import annotations

from dataclasses import replace

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.feature_means import mean_over_features
from tvm_sparse.kernels.token_tiles import TokenTiles, Work
from tvm_sparse.kernels.vector import (
    Bind,
    Expr,
    T,
    argument,
    broadcast,
    load,
    prim_func,
    serial,
    store,
)

_OPERATIONS_PER_VALUE = 10


def make_rms_norm(
    layout: TokenLayout,
    width: int,
    groups: int,
    within: tuple[int, int],
    epsilon: float,
    vectors: int,
) -> tvm.tirx.PrimFunc:
    """Make the kernel out = x / sqrt(mean(x^2) + epsilon) * gamma.

    Parameters
    ----------
    layout : TokenLayout
        Of data and out.
    width, groups : int
        Features that are normalised together, and how many such groups there are.
    within : (int, int)
        The first feature of x in data, and the features that data has.
    epsilon : float
        Added to the mean.
    vectors : int
        See `make_layer_norm`.

    Returns
    -------
    PrimFunc
        (data (tiles, within[1], T), gamma (width,), [tile_map], out (tiles, groups * width, T)).
    """
    lanes = layout.lanes
    parts = layout.token_tile // lanes // vectors
    offset, features = within

    def body() -> None:
        tiles = TokenTiles(replace(layout, together=1))
        data = argument("data", tiles.shape(features))
        gamma = argument("gamma", (width,))
        tiles.declare_map()
        out = argument("out", tiles.shape(groups * width))

        def normalise(tile: Expr, part: Expr, count: int) -> None:
            first_token, taken = part * (vectors * lanes), min(vectors, count)

            def value(feature: Expr, vector: int) -> Expr:
                return load(data, tiles.place(tile, offset + feature, vector, first_token), lanes)

            with serial(0, groups) as group:
                first = tiles.held(group * width)

                def square(feature: Expr, vector: int) -> Expr:
                    x = Bind(lanes)(value(first + feature, vector))
                    return x * x

                means = mean_over_features(width, taken, lanes, square)
                inverse = [
                    Bind(lanes)(broadcast(1.0, lanes) / T.sqrt(mean + broadcast(epsilon, lanes)))
                    for mean in means
                ]
                with serial(0, width) as f:
                    factor = broadcast(gamma[f], lanes)
                    for vector in range(taken):
                        result = value(first + f, vector) * inverse[vector] * factor
                        store(out, result, tiles.place(tile, first + f, vector, first_token), lanes)

        work = Work.of(layout, _OPERATIONS_PER_VALUE * groups * width, groups * width)
        tiles.compute("rms_norm", parts, work, normalise)

    return prim_func(body)
