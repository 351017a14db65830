"""How work on the tiles of an open layout is split among threads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.kernels.vector import argument, int64, parallel, prim_func, serial, store
from tvm_sparse.target import resolve_target

PARTS = 3


@pytest.fixture(scope="module")
def visit():
    """A kernel that counts which parts of which tiles a range computes, and finishes."""

    def body() -> None:
        tiles = TokenTiles(TokenLayout(0, 0, 4, 4, together=4))
        tiles.declare_map()
        bounds = argument("bounds", (2,), "int64")
        visits = argument("visits", (2, tiles.count, PARTS), "int32")

        def count(which, tile, run, registers) -> None:
            with serial(0, registers) as register, serial(run[0], run[0] + run[1]) as part:
                place = [int64(which), tile + register, part]
                store(visits, visits[tuple(place)] + 1, place, 1)

        with parallel(1, "visit"):
            tiles.split_range(
                *(bounds[int64(0)], bounds[int64(1)], PARTS),
                lambda tile, run, registers: count(0, tile, run, registers),
                lambda tile, run, registers: count(1, tile, run, registers),
            )

    module = tvm.IRModule({"main": prim_func(body).with_attr("global_symbol", "main")})
    return tvm.compile(module, target=tvm_target(resolve_target()))["main"]


@pytest.mark.parametrize("tiles", [1, 2, 4, 7, 9])
@pytest.mark.parametrize("threads", [1, 2, 3, 5, 64])
def test_threads_compute_every_part_of_every_tile_once(visit, tiles, threads):
    visits = tvm.runtime.tensor(np.zeros((2, tiles, PARTS), np.int32))
    tile_map = tvm.runtime.tensor(np.zeros((tiles, 4), np.int32))
    edges = [thread * tiles * PARTS // threads for thread in range(threads + 1)]
    shares = []
    for bounds in pairwise(edges):
        before = int(visits.numpy()[0].sum())
        visit(tile_map, tvm.runtime.tensor(np.array(bounds, np.int64)), visits)
        shares.append(int(visits.numpy()[0].sum()) - before)
    assert (visits.numpy() == 1).all()
    assert max(shares) - min(shares) <= 1
