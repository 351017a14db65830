"""Rotary position embedding on token tiles: pairs of features are turned by their token's angle."""

from __future__ import annotations

from dataclasses import dataclass

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.token_tiles import TokenTiles, Work
from tvm_sparse.kernels.vector import Bind, Expr, T, argument, load, prim_func, serial, store

_OPERATIONS_PER_VALUE = 4


@dataclass(frozen=True)
class RotationShape:
    """Heads, and which of their features are pairs.

    Attributes
    ----------
    heads, head_dim : int
        Number of heads, and the features of each, an even number.
    offset, features : int
        First feature of the heads in their tensor, and the features of it.
    interleaved : bool
        Whether neighbours are a pair; else a feature of the first half of a head and the one at
        its place in the second.
    shared : bool
        Whether all sequences have the same angles, which the tables hold once.
    reach : int
        Tiles of the tables, where sequences of any length share them.
    """

    heads: int
    head_dim: int
    offset: int
    features: int
    interleaved: bool
    shared: bool
    reach: int = 0


def make_rotation(layout: TokenLayout, shape: RotationShape) -> tvm.tirx.PrimFunc:
    """Make the kernel (x, y) -> (x cos - y sin, y cos + x sin) of every pair.

    Returns
    -------
    PrimFunc
        (data (tiles, features, T), cos, sin (tiles of the tables, head_dim, T), [tile_map], out
        (tiles, heads * head_dim, T)).
    """
    lanes, dim = layout.lanes, shape.head_dim

    def body() -> None:
        tiles = TokenTiles(layout)
        data = argument("data", tiles.shape(shape.features))
        tables = (shape.reach or layout.tiles_per_sequence, dim, layout.token_tile)
        cos, sin = (
            argument(name, tables if shape.shared else tiles.shape(dim)) for name in ("cos", "sin")
        )
        tiles.declare_map()
        out = argument("out", tiles.shape(shape.heads * dim))

        def rotate(tile: Expr, head: Expr, vectors: int) -> None:
            def angle_at(feature: Expr, register: int) -> list[Expr]:
                if not shape.shared:
                    return tiles.place(tile, feature, register)
                if not layout.is_open:
                    of_sequence = T.floormod(tile, layout.tiles_per_sequence)
                    return tiles.place(of_sequence, feature, register)
                # Tiles of a sequence begin at whole tiles of the tables.
                position = tiles.position(tile + register)
                return [T.floordiv(position, layout.token_tile), feature, 0]

            with serial(0, dim // 2) as pair:
                pair = tiles.held(pair)
                first, second = (
                    (pair * 2, pair * 2 + 1) if shape.interleaved else (pair, pair + dim // 2)
                )
                for vector in range(vectors):
                    x, y = (
                        Bind(lanes)(
                            load(
                                data,
                                tiles.place(tile, shape.offset + head * dim + feature, vector),
                                lanes,
                            )
                        )
                        for feature in (first, second)
                    )
                    for feature, kept, turned in ((first, x, -y), (second, y, x)):
                        angle = angle_at(feature, vector)
                        value = kept * load(cos, angle, lanes) + turned * load(sin, angle, lanes)
                        store(out, value, tiles.place(tile, head * dim + feature, vector), lanes)

        work = Work.of(layout, _OPERATIONS_PER_VALUE * shape.heads * dim, shape.heads * dim)
        tiles.compute("rotation", shape.heads, work, rotate)

    return prim_func(body)
