"""Layer normalisation over the features of token tiles.

The variance is taken in a second pass around the mean, as TensorFlow does.
"""

from __future__ import annotations

from collections.abc import Callable
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

_OPERATIONS_PER_VALUE = 20


def make_layer_norm(
    layout: TokenLayout, features: int, epsilon: float, vectors: int, residual: bool = False
) -> tvm.tirx.PrimFunc:
    """Make the kernel out = (x - mean) / sqrt(var + epsilon) * gamma + beta.

    Parameters
    ----------
    layout, features
        Of data and out; F, the extent that is normalised.
    vectors : int
        Vectors of tokens that one parallel iteration takes; divides those of a token tile. All of
        a tile are read front to back, some of them in strides. 1 of an open layout.
    residual : bool
        Whether x is data + residual rather than data.

    Returns
    -------
    PrimFunc
        (data (tiles, F, T), gamma (F,), beta (F,), [residual (tiles, F, T)], [tile_map],
        out (tiles, F, T)).
    """
    lanes = layout.lanes
    parts = layout.token_tile // lanes // vectors

    def body() -> None:
        # Tiles of an open layout one by one: each is read front to back.
        tiles = TokenTiles(replace(layout, together=1))
        data = argument("data", tiles.shape(features))
        gamma = argument("gamma", (features,))
        beta = argument("beta", (features,))
        added = argument("residual", tiles.shape(features)) if residual else None
        tiles.declare_map()
        out = argument("out", tiles.shape(features))

        def normalise(tile: Expr, first_token: Expr, vectors: int) -> None:
            def place(feature: Expr, vector: int) -> list[Expr]:
                return tiles.place(tile, feature, vector, first_token)

            def mean(term: Callable[[Expr, int], Expr]) -> list[Expr]:
                return mean_over_features(features, vectors, lanes, term)

            source = data
            if added is not None:
                # `out` holds data + residual between the passes: one read of each operand.
                source = out

            def first_read(feature: Expr, vector: int) -> Expr:
                value = load(data, place(feature, vector), lanes)
                if added is None:
                    return value
                value = Bind(lanes)(value + load(added, place(feature, vector), lanes))
                store(out, value, place(feature, vector), lanes)
                return value

            centre = mean(first_read)

            def squared_deviation(feature: Expr, vector: int) -> Expr:
                value = load(source, place(feature, vector), lanes)
                deviation = Bind(lanes)(value - centre[vector])
                return deviation * deviation

            variance = mean(squared_deviation)
            inverse = [
                Bind(lanes)(broadcast(1.0, lanes) / T.sqrt(value + broadcast(epsilon, lanes)))
                for value in variance
            ]
            with serial(0, features) as f:
                for vector in range(vectors):
                    value = load(source, place(f, vector), lanes)
                    centred = (value - centre[vector]) * inverse[vector]
                    result = centred * broadcast(gamma[f], lanes) + broadcast(beta[f], lanes)
                    store(out, result, place(f, vector), lanes)

        def normalise_part(tile: Expr, part: Expr, count: int) -> None:
            normalise(tile, part * (vectors * lanes), min(vectors, count))

        work = Work.of(layout, _OPERATIONS_PER_VALUE * features, features)
        tiles.compute("layer_norm", parts, work, normalise_part)

    return prim_func(body)
