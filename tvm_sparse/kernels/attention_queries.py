"""Which head's queries an iteration of attention takes, and the scratch for its scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import tvm

from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.vector import (
    Buffer,
    Expr,
    T,
    flat,
    held,
    int64,
    own_registers,
    parallel,
    scratch,
)
from tvm_sparse.target import pays_in_parallel

#: Emits attention of a head for some queries: head, tile and first token of the queries, how many
#: vectors of them, scratch for a score of each of them and of every key.
Attend: TypeAlias = "Callable[[Expr, Expr, Expr | int, int, Buffer], None]"


def each_query(
    tiles: TokenTiles,
    heads: int,
    features: int,
    operations: float,
    vectors: int,
    shares: int,
    attend: Attend,
) -> None:
    """Emit attention for all queries of all heads, so many vectors of queries at a time.

    Of a layout that is not open, `features` are those of the result, `operations` those of all
    heads on one query and one key, and `shares` the parts into which threads divide the tiles of a
    sequence.
    """
    layout = tiles.layout
    if not layout.is_open:
        operations *= layout.batch * layout.seq_len**2
        pays = pays_in_parallel(operations, layout.kept_values(features))
        _each_of_shares(tiles, heads, vectors, shares, pays, attend)
        return
    _each_of_sequence(tiles, heads, vectors, attend)


def _each_of_shares(
    tiles: TokenTiles, heads: int, vectors: int, shares: int, pays: bool, attend: Attend
) -> None:
    """Take a share of a sequence's tiles, then head by head.

    The keys and values of a head stay near while the tiles of queries pass, and a thread keeps to
    its own tiles.
    """
    layout = tiles.layout
    parts, width = layout.vectors // vectors, vectors * layout.lanes
    per_share = layout.tiles_per_sequence // shares
    with parallel(tiles.count * heads * parts, "attention", pays) as unit:
        part = T.floormod(unit, parts)
        within_share = T.floormod(T.floordiv(unit, parts), per_share)
        head = T.floormod(T.floordiv(unit, parts * per_share), heads)
        share = T.floordiv(unit, parts * per_share * heads)
        # Of whole tiles: keys of a window are scored in groups, which may go past the last one.
        scores = scratch(layout.tiles_per_sequence * layout.token_tile * width)
        tile = share * per_share + within_share

        def emit(count: int) -> None:
            attend(head, tile, part * width, count, scores)

        if layout.last_vectors == layout.vectors:
            emit(vectors)
            return
        whole, rest = divmod(layout.last_vectors, vectors)
        with T.If(tvm.tirx.Or(tvm.tirx.Not(tiles.is_last(tile)), part < whole)):
            with T.Then(), own_registers():
                emit(vectors)
            with T.Else():
                if rest:
                    with T.If(part == whole), T.Then(), own_registers():
                        emit(rest)


def _each_of_sequence(tiles: TokenTiles, heads: int, vectors: int, attend: Attend) -> None:
    """Take the heads of a sequence one after the other, each with all tiles of queries."""
    lanes = tiles.layout.lanes
    with parallel(tiles.count * heads, "attention") as unit:
        # All units of a sequence come together, and so the tile that takes the place of this unit,
        # were each tile taken with all heads, is one of the same sequence.
        _, first_tile, length = tiles.sequence_of(T.floordiv(unit, heads))
        of_sequence = held(T.floordiv(length + (lanes - 1), lanes))
        within = held(unit - first_tile * heads)
        head = held(T.floordiv(within, of_sequence))
        nth = held(T.floormod(within, of_sequence))
        # No sequence is longer than all tiles together. A view: TVM would spend half the time of
        # compiling on bounds of what is read of the buffer itself.
        size = tiles.count * (lanes * vectors * lanes)
        scores = flat(scratch(size), size)

        def emit(tile: Expr, count: int) -> None:
            attend(head, tile, 0, count, scores)

        # The first tile of some takes the others along.
        is_first = T.Cast("int64", T.floormod(nth, vectors) == 0)
        taken = T.min(of_sequence - nth, int64(vectors)) * is_first
        tiles.split(held(first_tile + nth), taken, vectors, emit)
