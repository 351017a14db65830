"""Layer normalisation over the features of token tiles.

Features run down a tile, so mean and variance are lane-wise sums: no horizontal operation. The
variance is taken in a second pass around the mean, as TensorFlow does.
"""

from __future__ import annotations

from collections.abc import Callable

import tvm

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
)

#: Partial sums per statistic: enough independent chains to hide the latency of an addition.
_PARTIAL_SUMS = 8


def make_layer_norm(
    layout: TokenLayout, features: int, epsilon: float, residual: bool = False
) -> tvm.tirx.PrimFunc:
    """Make the kernel out = (x - mean) / sqrt(var + epsilon) * gamma + beta.

    Parameters
    ----------
    layout : TokenLayout
        Of data and out.
    features : int
        Extent that is normalised.
    epsilon : float
        Added to the variance.
    residual : bool
        Whether x is data + residual rather than data.

    Returns
    -------
    PrimFunc
        (data (tiles, F, T), gamma (F,), beta (F,), [residual (tiles, F, T)],
        out (tiles, F, T)).
    """
    lanes, vectors = layout.lanes, layout.vectors

    def body() -> None:
        data = argument("data", layout.shape(features))
        gamma = argument("gamma", (features,))
        beta = argument("beta", (features,))
        added = argument("residual", layout.shape(features)) if residual else None
        out = argument("out", layout.shape(features))

        with parallel(layout.num_tiles * vectors, "layer_norm") as unit:
            tile = T.floordiv(unit, vectors)
            token = T.floormod(unit, vectors) * lanes
            bind = Bind(lanes)

            def sum_over_features(term: Callable[[Expr], Expr]) -> Expr:
                partial = Registers(_PARTIAL_SUMS, lanes)
                partial.fill(0.0)
                groups, rest = divmod(features, _PARTIAL_SUMS)
                if groups:
                    with serial(0, groups) as group:
                        for lane in range(_PARTIAL_SUMS):
                            partial[lane] = partial[lane] + term(group * _PARTIAL_SUMS + lane)
                for lane in range(rest):
                    partial[lane] = partial[lane] + term(T.int64(groups * _PARTIAL_SUMS + lane))
                total = partial[0]
                for lane in range(1, _PARTIAL_SUMS):
                    total = total + partial[lane]
                return bind(total * broadcast(1.0 / features, lanes))

            if added is None:
                source = data
                mean = sum_over_features(lambda f: load(data, [tile, f, token], lanes))
            else:
                # `out` holds data + residual between the passes: one read of each operand.
                source = out

                def add(f: Expr) -> Expr:
                    term = Bind(lanes)(
                        load(data, [tile, f, token], lanes) + load(added, [tile, f, token], lanes)
                    )
                    store(out, term, [tile, f, token], lanes)
                    return term

                mean = sum_over_features(add)

            def squared_deviation(f: Expr) -> Expr:
                deviation = Bind(lanes)(load(source, [tile, f, token], lanes) - mean)
                return deviation * deviation

            variance = sum_over_features(squared_deviation)
            inverse = bind(broadcast(1.0, lanes) / T.sqrt(variance + broadcast(epsilon, lanes)))
            with serial(0, features) as f:
                centred = (load(source, [tile, f, token], lanes) - mean) * inverse
                value = centred * broadcast(gamma[f], lanes) + broadcast(beta[f], lanes)
                store(out, value, [tile, f, token], lanes)

    return prim_func(body)
