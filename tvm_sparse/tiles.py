"""Register tiles that tuning found on a machine, where they beat the table in `formats`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

#: A tile serves densities up to so many times more and less than the one it was tuned at.
_DENSITY_FACTOR = 1.5


@dataclass(frozen=True)
class TokenTile:
    """The token tile of a build.

    Attributes
    ----------
    block_rows : int
        `bs_r` of its sparse layers, 0 for a dense build.
    seq_len : int
        Tokens of a sequence.
    vectors : int
        Vector registers that one feature of a tile fills.
    dtype : str
        In which its dense layers multiply.
    """

    block_rows: int
    seq_len: int
    vectors: int
    dtype: str = "float32"


@dataclass(frozen=True)
class DenseTile:
    """The register tile of a dense product.

    Attributes
    ----------
    units, depth : int
        N and K.
    vectors : int
        Of the token tile it is for.
    rows : int
        Output rows accumulated together (NR).
    dtype : str
        In which it multiplies.
    """

    units: int
    depth: int
    vectors: int
    rows: int
    dtype: str = "float32"


@dataclass(frozen=True)
class SparseTile:
    """How a block-sparse weight is packed.

    Attributes
    ----------
    units, depth : int
        N and K.
    block_shape : (int, int)
        (bs_r, bs_c).
    vectors : int
        Of the token tile it is for.
    density : float
        Share of non-zero blocks it was tuned at, 0..1.
    lanes : int
        Block rows accumulated together.
    panels : int
        Parts that the inputs are cut into.
    lookahead : int
        Steps ahead that inputs are asked for, 0 for never.
    dtype : str
        In which it multiplies.
    """

    units: int
    depth: int
    block_shape: tuple[int, int]
    vectors: int
    density: float
    lanes: int
    panels: int
    lookahead: int = 0
    dtype: str = "float32"

    def is_near(self, density: float) -> bool:
        """Tell whether it serves a density of 0..1."""
        return 1 / _DENSITY_FACTOR <= density / self.density <= _DENSITY_FACTOR


@dataclass(frozen=True)
class Tiles:
    """All tuned tiles of a machine; empty where nobody tuned.

    Attributes
    ----------
    tokens, dense, sparse : tuple
        `TokenTile`, `DenseTile` and `SparseTile`.
    """

    tokens: tuple[TokenTile, ...] = ()
    dense: tuple[DenseTile, ...] = ()
    sparse: tuple[SparseTile, ...] = ()

    def vectors(self, block_rows: int, seq_len: int) -> int | None:
        """Return the vectors of a token tile, None if it was not tuned."""
        key = (block_rows, seq_len)
        return next((t.vectors for t in self.tokens if (t.block_rows, t.seq_len) == key), None)

    def dense_rows(
        self, units: int, depth: int, vectors: int, dtype: str = "float32"
    ) -> int | None:
        """Return the rows of a dense product's register tile, None if it was not tuned."""
        key = (units, depth, vectors, dtype)
        return next(
            (t.rows for t in self.dense if (t.units, t.depth, t.vectors, t.dtype) == key), None
        )

    def packing(
        self,
        shape: tuple[int, int],
        block_shape: tuple[int, int],
        vectors: int,
        density: float,
        dtype: str = "float32",
    ) -> SparseTile | None:
        """Return the packing of a weight (N, K), None if it was not tuned near its density."""
        key = (*shape, block_shape, vectors, dtype)
        near = [
            tile
            for tile in self.sparse
            if (tile.units, tile.depth, tile.block_shape, tile.vectors, tile.dtype) == key
            and tile.is_near(density)
        ]
        return min(near, key=lambda tile: abs(tile.density - density), default=None)

    def of_build(self, dtype: str) -> Tiles:
        """Return what a build can use whose dense layers multiply in a dtype."""
        return replace(self, tokens=tuple(t for t in self.tokens if t.dtype == dtype))

    def of_product(
        self,
        shape: tuple[int, int],
        block_shape: tuple[int, int],
        block_rows: int,
        seq_len: int,
        dtype: str = "float32",
        layout_dtype: str = "",
    ) -> Tiles:
        """Return what one kernel's speed depends on.

        Parameters
        ----------
        shape : (int, int)
            (N, K).
        block_shape : (int, int)
            (0, 0) for a dense product.
        block_rows, seq_len : int
            Of its build.
        dtype : str
            In which it multiplies.
        layout_dtype : str
            In which the dense layers of its build do, which decides the token tile; as it does
            itself, by default.
        """
        place = (block_rows, seq_len, layout_dtype or dtype)
        tokens = [t for t in self.tokens if (t.block_rows, t.seq_len, t.dtype) == place]
        own = (*shape, dtype)
        dense = [
            t for t in self.dense if (t.units, t.depth, t.dtype) == own and block_shape == (0, 0)
        ]
        sparse = [
            t
            for t in self.sparse
            if (t.units, t.depth, t.dtype) == own and t.block_shape == block_shape
        ]
        return Tiles(tuple(tokens), tuple(dense), tuple(sparse))

    def updated(self, other: Tiles) -> Tiles:
        """Return these and the other's, which win where both have a tile for the same."""

        def merge(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> tuple[Any, ...]:
            kept = [t for t in mine if not any(_is_same_subject(t, other) for other in theirs)]
            return (*kept, *theirs)

        return Tiles(*(merge(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))


#: Of a machine that nobody tuned.
NO_TILES = Tiles()


def _is_same_subject(one: Any, other: Any) -> bool:
    """Whether two tiles of one kind are for the same thing."""
    if one.dtype != other.dtype:
        return False
    if isinstance(one, TokenTile):
        return (one.block_rows, one.seq_len) == (other.block_rows, other.seq_len)
    if isinstance(one, DenseTile):
        return (one.units, one.depth, one.vectors) == (other.units, other.depth, other.vectors)
    return bool(
        (one.units, one.depth, one.block_shape, one.vectors)
        == (other.units, other.depth, other.block_shape, other.vectors)
        and one.is_near(other.density)
    )
