"""Means over the features of token tiles, lane by lane: no horizontal operation."""

from __future__ import annotations

from collections.abc import Callable

from tvm_sparse.kernels.vector import Bind, Expr, Registers, T, broadcast, serial

#: Partial sums of all vectors together: independent chains to hide the latency of an addition.
_PARTIAL_SUMS = 8


def mean_over_features(
    features: int, vectors: int, lanes: int, term: Callable[[Expr, int], Expr]
) -> list[Expr]:
    """Emit the mean of term(feature, vector) over so many features, and return it by vector."""
    chains = max(1, _PARTIAL_SUMS // vectors)
    partial = Registers(chains * vectors, lanes)
    partial.fill(0.0)

    def add(feature: Expr, chain: int) -> None:
        for vector in range(vectors):
            index = chain * vectors + vector
            partial[index] = partial[index] + term(feature, vector)

    groups, rest = divmod(features, chains)
    if groups:
        with serial(0, groups) as group:
            for chain in range(chains):
                add(group * chains + chain, chain)
    for chain in range(rest):
        add(T.int64(groups * chains + chain), chain)
    means = []
    for vector in range(vectors):
        total = partial[vector]
        for chain in range(1, chains):
            total = total + partial[chain * vectors + vector]
        means.append(Bind(lanes)(total * broadcast(1.0 / features, lanes)))
    return means
