"""Gated units on token tiles: activation(gate) * up, both out of products."""

from __future__ import annotations

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.activations import ACTIVATIONS
from tvm_sparse.kernels.token_tiles import TokenTiles, Work
from tvm_sparse.kernels.vector import Bind, Expr, argument, load, prim_func, serial, store

_OPERATIONS_PER_VALUE = 25
#: Features in a parallel iteration: two of them have their inputs and results in L1.
_FEATURES = 64


def make_gated_unit(
    layout: TokenLayout, units: int, activation: str, gate: tuple[int, int], up: tuple[int, int]
) -> tvm.tirx.PrimFunc:
    """Make the kernel.

    Parameters
    ----------
    layout, units
        Of the result: its tiles and features.
    activation : str
        A key of `ACTIVATIONS`.
    gate, up : (int, int)
        The first feature of each in its tensor, and the features of that.

    Returns
    -------
    PrimFunc
        (gate, up (tiles, features, T) each, [tile_map], out (tiles, units, T)).
    """
    lanes = layout.lanes
    size = next(n for n in range(min(_FEATURES, units), 0, -1) if units % n == 0)

    def body() -> None:
        tiles = TokenTiles(layout)
        operands = [
            argument(name, tiles.shape(features))
            for name, (_, features) in (("gate", gate), ("up", up))
        ]
        tiles.declare_map()
        out = argument("out", tiles.shape(units))

        def compute(tile: Expr, part: Expr, vectors: int) -> None:
            with serial(0, size) as nth:
                feature = tiles.held(part * size + nth)
                for vector in range(vectors):
                    gated, factor = (
                        load(buffer, tiles.place(tile, offset + feature, vector), lanes)
                        for buffer, (offset, _) in zip(operands, (gate, up), strict=True)
                    )
                    bind = Bind(lanes)
                    value = ACTIVATIONS[activation](bind, bind(gated)) * factor
                    store(out, value, tiles.place(tile, feature, vector), lanes)

        work = Work.of(layout, _OPERATIONS_PER_VALUE * units, units)
        tiles.compute("gated_unit", units // size, work, compute)

    return prim_func(body)
