"""Tuned tiles: what they are for, and how they are kept."""

from __future__ import annotations

import pytest

from tvm_sparse.tiles import NO_TILES, DenseTile, SparseTile, Tiles, TokenTile

pytestmark = pytest.mark.unit

TILES = Tiles(
    (TokenTile(0, 128, 2), TokenTile(4, 128, 3)),
    (DenseTile(768, 768, 2, 8),),
    (
        SparseTile(768, 768, (4, 1), 3, 0.05, 2, 1),
        SparseTile(768, 768, (4, 1), 3, 0.2, 1, 2),
    ),
)


def test_a_tile_is_found_for_what_it_was_tuned_for_alone():
    assert (TILES.vectors(0, 128), TILES.vectors(4, 128)) == (2, 3)
    assert TILES.vectors(16, 128) is TILES.vectors(4, 64) is None
    assert TILES.dense_rows(768, 768, 2) == 8
    assert TILES.dense_rows(768, 768, 3) is TILES.dense_rows(3072, 768, 2) is None
    assert TILES.packing((768, 768), (4, 1), 2, 0.05) is None
    assert TILES.packing((768, 768), (16, 1), 3, 0.05) is None
    assert TILES.dense_rows(768, 768, 2, "int8") is None
    assert TILES.packing((768, 768), (4, 1), 3, 0.05, "int8") is None
    assert TILES.of_build("int8").tokens == ()
    assert NO_TILES.vectors(0, 128) is NO_TILES.packing((768, 768), (4, 1), 3, 0.05) is None


@pytest.mark.parametrize(
    ("density", "lanes"), [(0.05, 2), (0.07, 2), (0.034, 2), (0.15, 1), (0.29, 1)]
)
def test_a_packing_serves_the_densities_near_its_own(density, lanes):
    found = TILES.packing((768, 768), (4, 1), 3, density)
    assert found is not None
    assert found.lanes == lanes


@pytest.mark.parametrize("density", [0.0, 0.02, 0.1, 0.5, 1.0])
def test_a_packing_serves_no_density_far_off(density):
    assert TILES.packing((768, 768), (4, 1), 3, density) is None


def test_a_product_depends_on_its_own_tiles():
    own = TILES.of_product((768, 768), (4, 1), 4, 128)
    assert own == Tiles((TokenTile(4, 128, 3),), (), TILES.sparse)
    assert TILES.of_product((768, 768), (0, 0), 0, 128) == Tiles(TILES.tokens[:1], TILES.dense)
    assert TILES.of_product((3072, 768), (0, 0), 0, 64) == NO_TILES


def test_tuning_again_replaces_what_was_found_for_the_same():
    newer = Tiles((TokenTile(4, 128, 2),), (), (SparseTile(768, 768, (4, 1), 3, 0.06, 4, 1),))
    both = TILES.updated(newer)
    assert both.tokens == (TokenTile(0, 128, 2), TokenTile(4, 128, 2))
    assert both.dense == TILES.dense
    assert both.sparse == (TILES.sparse[1], newer.sparse[0])
    assert TILES.updated(NO_TILES) == TILES
