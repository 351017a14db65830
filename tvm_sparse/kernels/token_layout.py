"""Moves between row-major (batch, seq_len, features) and token tiles.

Only the ends of an encoder pay for these; between its layers nothing is transposed. As many tokens
as a register has lanes are turned around together, in registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.token_tiles import TokenTiles
from tvm_sparse.kernels.vector import (
    Bind,
    Buffer,
    Expr,
    T,
    argument,
    broadcast,
    held,
    int64,
    load,
    parallel,
    prim_func,
    serial,
    store,
    transpose,
)
from tvm_sparse.target import pays_in_parallel

_OPERATIONS_PER_VALUE = 20
#: Called with batch, first token of the sequence, tile, first token of the tile, number of tokens:
#: an expression where the layout is open, and then one at least.
_Move = Callable[[Expr, Expr, Expr, Expr, "int | Expr"], None]


def make_pack_tokens(layout: TokenLayout, features: int) -> tvm.tirx.PrimFunc:
    """Make (data (B, S, F), [tile_map], out (tiles, F, T)).

    Tokens past `seq_len` become zero; of an open layout, as the last token.
    """

    def body() -> None:
        tiles = TokenTiles(layout)
        data = argument("data", (*tiles.rectangle(), features))
        tiles.declare_map()
        out = argument("out", tiles.shape(features))
        _fill_tiles(tiles, features, "pack_tokens", out, [(data, lambda *token: token)])

    return prim_func(body)


def make_gather_tokens(
    layout: TokenLayout, features: int, tables: Sequence[tuple[int, int, str]]
) -> tvm.tirx.PrimFunc:
    """Make the sum of rows of several tables of width F, straight into token tiles.

    A table is given as its number of rows, and batch extent (0 for that of an open layout) and
    dtype of its ids.

    Returns
    -------
    PrimFunc
        (ids (1 or B, S), table (rows, F), ids, table, ..., [tile_map], out (tiles, F, T)). Ids
        beyond the ends of a table stand for its first and last row.
    """

    def body() -> None:
        tiles = TokenTiles(layout)
        all_batches, seq_len = tiles.rectangle()
        sources = []
        for index, (rows, batch, dtype) in enumerate(tables):
            ids = argument(f"ids_{index}", (batch or all_batches, seq_len), dtype)
            table = argument(f"table_{index}", (rows, features))
            sources.append((table, _row_of(ids, rows, batch)))
        tiles.declare_map()
        out = argument("out", tiles.shape(features))
        _fill_tiles(tiles, features, "gather_tokens", out, sources)

    return prim_func(body)


def make_unpack_tokens(layout: TokenLayout, features: int) -> tvm.tirx.PrimFunc:
    """Make (data (tiles, F, T), [tile_map], out (B, S, F)).

    Tokens past `seq_len` are dropped; of an open layout, those past a shorter sequence become zero.
    """
    lanes = layout.lanes
    whole = features // lanes * lanes

    def body() -> None:
        tiles = TokenTiles(layout)
        data = argument("data", tiles.shape(features))
        tiles.declare_map()
        seq_len = tiles.rectangle()[1]
        out = argument("out", (*tiles.rectangle(), features))

        def move(batch: Expr, token: Expr, tile: Expr, place: Expr, count: int | Expr) -> None:
            with serial(0, whole // lanes) as block:
                first = block * lanes
                columns = [
                    Bind(lanes)(load(data, [tile, first + i, place], lanes)) for i in range(lanes)
                ]
                for i, row in _up_to(count, transpose(columns)):
                    store(out, row, [batch, token + i, first], lanes)
            with serial(whole, features) as f:
                for i, _ in _up_to(count, range(lanes)):
                    store(out, data[tile, f, place + i], [batch, token + i, f], 1)
            if layout.is_open:
                with T.If(token + lanes >= tiles.length(tile)), T.Then():
                    with serial(tiles.length(tile), seq_len) as past:
                        with serial(0, whole // lanes) as block:
                            store(out, broadcast(0.0, lanes), [batch, past, block * lanes], lanes)
                        with serial(whole, features) as f:
                            store(out, T.float32(0), [batch, past, f], 1)

        _each_group(tiles, features, "unpack_tokens", move)

    return prim_func(body)


def _row_of(ids: Buffer, rows: int, batch_extent: int) -> Callable[[Expr, Expr], tuple[Expr]]:
    """Return what finds the row of a table for a token."""

    def row(batch: Expr, token: Expr) -> tuple[Expr]:
        found = ids[batch if batch_extent != 1 else 0, token]
        return (T.min(T.max(T.Cast("int64", found), T.int64(0)), T.int64(rows - 1)),)

    return row


def _up_to(count: int | Expr, items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Count items off; if the run knows the count, emit code under a condition for each."""
    for index, item in enumerate(items):
        if not isinstance(count, int):
            with T.If(index < count), T.Then():
                yield index, item
        elif index < count:
            yield index, item


def _fill_tiles(
    tiles: TokenTiles,
    features: int,
    name: str,
    out: Buffer,
    sources: Sequence[tuple[Buffer, Callable[..., tuple[Expr, ...]]]],
) -> None:
    """Fill token tiles with the sum of row-major sources.

    Each source is a buffer whose last axis are the features, and what gives the other indices of
    a token, called with batch and token.
    """
    lanes = tiles.layout.lanes
    whole = features // lanes * lanes

    def total(parts: Sequence[Expr]) -> Expr:
        result = parts[0]
        for part in parts[1:]:
            result = result + part
        return result

    def move(batch: Expr, token: Expr, tile: Expr, place: Expr, count: int | Expr) -> None:
        places = [token + i for i in range(lanes)]
        if isinstance(count, int):
            places = places[:count]
        else:
            places = [T.min(at, token + count - 1) for at in places]
        owners = [[(buffer, row(batch, at)) for buffer, row in sources] for at in places]
        with serial(0, whole // lanes) as block:
            first = block * lanes
            rows = [
                total([load(buffer, [*row, first], lanes) for buffer, row in owner])
                for owner in owners
            ]
            rows += [broadcast(0.0, lanes)] * (lanes - len(owners))
            for i, column in enumerate(transpose([Bind(lanes)(row) for row in rows])):
                store(out, column, [tile, first + i, place], lanes)
        with serial(whole, features) as f:
            for i in range(lanes):
                value: Expr = T.float32(0)
                if i < len(owners):
                    elements = [(buffer, (*row, f)) for buffer, row in owners[i]]
                    value = total([buffer[element] for buffer, element in elements])
                store(out, value, [tile, f, place + i], 1)

    _each_group(tiles, features, name, move)


def _each_group(tiles: TokenTiles, features: int, name: str, move: _Move) -> None:
    """Emit a move for every register of tokens: whole ones, the last one, what pads a tile."""
    layout = tiles.layout
    if layout.is_open:
        _each_tile(tiles, name, move)
        return
    lanes, per_sequence, vectors = layout.lanes, layout.tiles_per_sequence, layout.vectors
    values = layout.num_tiles * layout.token_tile * features
    pays = pays_in_parallel(_OPERATIONS_PER_VALUE * values, layout.kept_values(features))
    whole, rest = divmod(layout.seq_len, lanes)
    with parallel(layout.num_tiles * vectors, name, pays) as unit:
        tile, group = T.floordiv(unit, vectors), T.floormod(unit, vectors)
        batch = T.floordiv(tile, per_sequence)
        in_sequence = T.floormod(tile, per_sequence) * vectors + group

        def emit(count: int) -> None:
            move(batch, in_sequence * lanes, tile, group * lanes, count)

        if whole == per_sequence * vectors:
            emit(lanes)
            return
        with T.If(in_sequence < whole):
            with T.Then():
                emit(lanes)
            with T.Else():
                if rest and whole + 1 < per_sequence * vectors:
                    with T.If(in_sequence == whole):
                        with T.Then():
                            emit(rest)
                        with T.Else():
                            emit(0)
                else:
                    emit(rest)


def _each_tile(tiles: TokenTiles, name: str, move: _Move) -> None:
    """Emit a move for every tile of an open layout: one code for any number of tokens."""
    with parallel(tiles.count, name) as unit:
        tile = held(unit)
        token = held(tiles.position(tile))
        count = held(T.min(tiles.length(tile) - token, int64(tiles.layout.lanes)))
        move(held(tiles.sequence(tile)), token, tile, int64(0), count)
