"""How much of its work a kernel takes together, and how far ahead it looks."""

from __future__ import annotations

import math
from typing import Any

from tvm_sparse.formats.token_layout import OPERAND_REGISTERS, TokenLayout
from tvm_sparse.target import CpuTarget

#: How far ahead weights are asked for, in floats: half a page. They come from L3 or memory, where
#: the processor's own prefetching stops at the end of every page.
PREFETCH_FLOATS = 512
#: Rows of a product taken together where the run says how many there are.
OPEN_ROWS = 4
#: Floats of a cache line.
CACHE_LINE_FLOATS = 16


def row_chunks(block_rows: int, most: int) -> list[tuple[int, int]]:
    """Split the rows of a block into even (start, count) chunks of at most `most` rows."""
    chunks = -(-block_rows // most)
    size = -(-block_rows // chunks)
    return [(start, min(size, block_rows - start)) for start in range(0, block_rows, size)]


def part_tokens(lanes: int) -> int:
    """Return the tokens of a tile of an open layout that a dense product takes together.

    Half a tile, or a whole one where that is small.
    """
    return max(4, lanes // 2)


def panels_together(layout: TokenLayout, units: int, target: CpuTarget) -> int:
    """Return how many panels of a dense weight meet the tokens of a part of a tile together.

    As many as leave a register for each of their sums.
    """
    most = (target.num_registers - OPERAND_REGISTERS) // part_tokens(layout.lanes)
    panels = -(-units // layout.lanes)
    return next(n for n in range(most, 0, -1) if panels % n == 0)


def norm_vectors(layout: TokenLayout, target: CpuTarget) -> int:
    """Return the vectors of tokens that a layer norm takes together.

    As many as leave every thread a share: a whole tile is read front to back. One of an open
    layout, which is a tile.
    """
    if layout.is_open:
        return 1
    shares = -(-target.threads // layout.num_tiles)
    most = max(1, layout.vectors // shares)
    return max(n for n in range(1, most + 1) if layout.vectors % n == 0)


def row_panel(rows: int, units: int, target: CpuTarget) -> int | None:
    """Return the outputs of a weight panel for a product of a few rows, None for many rows.

    With half as many rows as a register has lanes, or fewer, vectors run over outputs. Zero rows
    are as many as the run says.
    """
    if 2 * rows > target.lanes() or units % target.lanes():
        return None
    vectors = (target.num_registers - 2 * OPERAND_REGISTERS) // (rows or OPEN_ROWS)
    return target.lanes() * max(1, min(4, vectors, units // target.lanes()))


def attention_tile(layout: TokenLayout, target: CpuTarget) -> tuple[int, int, int]:
    """Return the vectors of queries and the keys or features attention takes together, and shares.

    Two vectors of scores stay in L1 where four do not. Rows are powers of two, which divide the
    usual extents of a head, or six, which leave less of 16 registers idle. Threads share the tiles
    of a sequence where there are fewer sequences than threads, or its heads where the last tile has
    fewer registers than the others.
    """
    vectors = 2 if layout.vectors % 2 == 0 or layout.is_open else layout.vectors
    # Beside sums there are vectors, a factor, and without multiply-adds a product.
    others = 2 if target.isa == "x86-64-v2" else 1
    most = (target.num_registers - others) // vectors - 1
    rows = next(n for n in (16, 8, 6, 4, 2, 1) if n <= most)
    if layout.is_open or layout.last_vectors < layout.vectors:
        return vectors, rows, 1
    tiles = layout.tiles_per_sequence
    wanted = -(-target.threads // math.gcd(target.threads, layout.batch))
    shares = next(n for n in range(1, tiles + 1) if n == tiles or (n >= wanted and tiles % n == 0))
    return vectors, rows, shares


def chunk_size(rows: Any) -> Any:
    """Return how many row panels of a dense weight one parallel iteration takes.

    Small enough that threads share the work evenly, and large enough that a tile of inputs is
    used often while it is in cache. Of a number or a TIR expression.
    """
    return (rows + 31) // 32
