"""Moves between row-major (batch, seq_len, features) and token tiles.

Only the ends of an encoder pay for these; between its layers nothing is transposed. As many tokens
as a register has lanes are turned around together, in registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tvm

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.vector import (
    Bind,
    Buffer,
    Expr,
    T,
    argument,
    broadcast,
    load,
    parallel,
    prim_func,
    serial,
    store,
    transpose,
)
from tvm_sparse.target import pays_in_parallel

_OPERATIONS_PER_VALUE = 20
#: Called with batch, first token of the sequence, tile, first token of the tile, number of tokens.
_Move = Callable[[Expr, Expr, Expr, Expr, int], None]


def make_pack_tokens(layout: TokenLayout, features: int) -> tvm.tirx.PrimFunc:
    """Make (data (B, S, F), out (tiles, F, T)); tokens past `seq_len` become zero."""

    def body() -> None:
        data = argument("data", (layout.batch, layout.seq_len, features))
        out = argument("out", layout.shape(features))
        _fill_tiles(layout, features, "pack_tokens", out, [(data, lambda *token: token)])

    return prim_func(body)


def make_gather_tokens(
    layout: TokenLayout, features: int, tables: Sequence[tuple[int, int, str]]
) -> tvm.tirx.PrimFunc:
    """Make the sum of rows of several tables of width F, straight into token tiles.

    A table is given as its number of rows, and batch extent and dtype of its ids.

    Returns
    -------
    PrimFunc
        (ids (1 or B, S), table (rows, F), ids, table, ..., out (tiles, F, T)). Ids beyond the
        ends of a table stand for its first and last row.
    """

    def body() -> None:
        sources = []
        for index, (rows, batch, dtype) in enumerate(tables):
            ids = argument(f"ids_{index}", (batch, layout.seq_len), dtype)
            table = argument(f"table_{index}", (rows, features))
            sources.append((table, _row_of(ids, rows, batch)))
        out = argument("out", layout.shape(features))
        _fill_tiles(layout, features, "gather_tokens", out, sources)

    return prim_func(body)


def make_unpack_tokens(layout: TokenLayout, features: int) -> tvm.tirx.PrimFunc:
    """Make (data (tiles, F, T), out (B, S, F)); tokens past `seq_len` are dropped."""
    lanes = layout.lanes
    whole = features // lanes * lanes

    def body() -> None:
        data = argument("data", layout.shape(features))
        out = argument("out", (layout.batch, layout.seq_len, features))

        def move(batch: Expr, token: Expr, tile: Expr, place: Expr, count: int) -> None:
            with serial(0, whole // lanes) as block:
                first = block * lanes
                columns = [
                    Bind(lanes)(load(data, [tile, first + i, place], lanes)) for i in range(lanes)
                ]
                for i, row in enumerate(transpose(columns)[:count]):
                    store(out, row, [batch, token + i, first], lanes)
            with serial(whole, features) as f:
                for i in range(count):
                    T.buffer_store(out, data[tile, f, place + i], [batch, token + i, f])

        _each_group(layout, features, "unpack_tokens", move)

    return prim_func(body)


def _row_of(ids: Buffer, rows: int, batch_extent: int) -> Callable[[Expr, Expr], tuple[Expr]]:
    """Return what finds the row of a table for a token."""

    def row(batch: Expr, token: Expr) -> tuple[Expr]:
        found = ids[batch if batch_extent > 1 else 0, token]
        return (T.min(T.max(T.Cast("int64", found), T.int64(0)), T.int64(rows - 1)),)

    return row


def _fill_tiles(
    layout: TokenLayout,
    features: int,
    name: str,
    out: Buffer,
    sources: Sequence[tuple[Buffer, Callable[..., tuple[Expr, ...]]]],
) -> None:
    """Fill token tiles with the sum of row-major sources.

    Each source is a buffer whose last axis are the features, and what gives the other indices of
    a token, called with batch and token.
    """
    lanes = layout.lanes
    whole = features // lanes * lanes

    def total(parts: Sequence[Expr]) -> Expr:
        result = parts[0]
        for part in parts[1:]:
            result = result + part
        return result

    def move(batch: Expr, token: Expr, tile: Expr, place: Expr, count: int) -> None:
        owners = [
            [(buffer, row(batch, token + i)) for buffer, row in sources] for i in range(count)
        ]
        with serial(0, whole // lanes) as block:
            first = block * lanes
            rows = [
                total([load(buffer, [*row, first], lanes) for buffer, row in owner])
                for owner in owners
            ]
            rows += [broadcast(0.0, lanes)] * (lanes - count)
            for i, column in enumerate(transpose([Bind(lanes)(row) for row in rows])):
                store(out, column, [tile, first + i, place], lanes)
        with serial(whole, features) as f:
            for i in range(lanes):
                value: Expr = T.float32(0)
                if i < count:
                    places = [(buffer, (*row, f)) for buffer, row in owners[i]]
                    value = total([buffer[place] for buffer, place in places])
                T.buffer_store(out, value, [tile, f, place + i])

    _each_group(layout, features, name, move)


def _each_group(layout: TokenLayout, features: int, name: str, move: _Move) -> None:
    """Emit a move for every register of tokens: whole ones, the last one, what pads a tile."""
    lanes, tiles, vectors = layout.lanes, layout.tiles_per_sequence, layout.vectors
    pays = pays_in_parallel(_OPERATIONS_PER_VALUE * layout.num_tiles * layout.token_tile * features)
    whole, rest = divmod(layout.seq_len, lanes)
    with parallel(layout.num_tiles * vectors, name, pays) as unit:
        tile, group = T.floordiv(unit, vectors), T.floormod(unit, vectors)
        batch = T.floordiv(tile, tiles)
        in_sequence = T.floormod(tile, tiles) * vectors + group

        def emit(count: int) -> None:
            move(batch, in_sequence * lanes, tile, group * lanes, count)

        if whole == tiles * vectors:
            emit(lanes)
            return
        with T.If(in_sequence < whole):
            with T.Then():
                emit(lanes)
            with T.Else():
                if rest and whole + 1 < tiles * vectors:
                    with T.If(in_sequence == whole):
                        with T.Then():
                            emit(rest)
                        with T.Else():
                            emit(0)
                else:
                    emit(rest)
