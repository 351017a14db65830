"""How the blocks of a weight are packed for the registers and caches of a CPU."""

from __future__ import annotations

import math

from tvm_sparse.formats.token_layout import HIGH_BLOCK_ROWS, TokenLayout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.target import PARALLEL_OPERATIONS, CpuTarget
from tvm_sparse.tiles import SparseTile

#: Accumulators of a sparse product by number of registers.
_SPARSE_ACCUMULATORS = {16: 12, 32: 24}
#: Block rows accumulated together: multiples of four share loads of values and of block columns.
_LANES = (16, 12, 8, 4, 2, 1)
#: Sums that keep the multiply-adds of a core busy, each of which waits for the one before it, by
#: width of a vector register: of two a cycle that take four cycles each, of narrow ones four.
_SUMS_IN_FLIGHT = {512: 8, 256: 8, 128: 16}
#: Inputs of a panel in bytes by width of a vector register. Of low blocks: what L1 holds beside
#: sums and weights. Of high ones: what L2 holds beside the weights that pass; where it is large,
#: as on CPUs with AVX-512, what the first-level TLB reaches (48 pages): blocks far apart would miss
#: it every time.
_PANEL_BYTES = {
    (512, "low"): 32 * 1024,
    (512, "high"): 192 * 1024,
    (256, "low"): 24 * 1024,
    (256, "high"): 64 * 1024,
    (128, "low"): 24 * 1024,
    (128, "high"): 64 * 1024,
}
#: Blocks a row should have in a panel: its sums are read and written once for them.
_BLOCKS_PER_PANEL_ROW = 12
#: Parts of the work for each thread, where the token tiles do not come out even.
_UNITS_PER_THREAD = 4
#: Rows that should use a panel while it is in L1.
_ROWS_PER_PANEL_CHUNK = 96
#: Steps from asking for a block's inputs to using them, which L3 answers in.
LOOKAHEAD_STEPS = 16
#: The same by width of a vector register, for high blocks. Blocks follow no pattern that a
#: processor would foresee, and waiting for inputs from L2 and L3 took up to a fifth of the time.
#: Only AVX2 has been measured; elsewhere tuning finds out. Low blocks have no room for more loads.
_LOOKAHEAD = {512: 0, 256: LOOKAHEAD_STEPS, 128: 0}


def choose_packing(
    shape: ProductShape, target: CpuTarget, tuned: SparseTile | None
) -> tuple[int, int, int, int]:
    """Return lanes, panels, chunks and lookahead of a weight in the blocks of `shape`.

    `tuned` is what tuning found for it, if it did.
    """
    (bs_r, bs_c), layout, density = shape.block_shape, shape.layout, shape.density
    num_block_rows, num_block_cols = shape.units // bs_r, shape.depth // bs_c
    lanes = (
        tuned.lanes
        if tuned and not layout.is_open
        else fitting_lanes(num_block_rows, bs_r, layout, target)[0]
    )
    kind = "low" if bs_r < HIGH_BLOCK_ROWS else "high"
    if tuned is not None:
        panels, lookahead = tuned.panels, tuned.lookahead
    else:
        lookahead = _LOOKAHEAD[target.vector_bits] if kind == "high" else 0
        fitting = _PANEL_BYTES[target.vector_bits, kind] // (4 * layout.width * bs_c)
        paying = _BLOCKS_PER_PANEL_ROW / max(density, 1e-6)
        # A last panel of a quarter and less is shared among the others.
        panels = max(1, math.ceil(num_block_cols / max(fitting, paying) - 0.25))
    operations = 2.0 * layout.width * density * num_block_rows * num_block_cols * bs_r * bs_c
    # A run of an open layout may have tiles for one pass alone.
    tiles = 1 if layout.is_open else layout.num_tiles
    chunks = min(_shares(tiles, target.threads), round(operations / PARALLEL_OPERATIONS))
    if panels > 1 and kind == "low":
        chunks = min(chunks, num_block_rows // _ROWS_PER_PANEL_CHUNK)
    return lanes, panels, max(1, min(chunks, num_block_rows // lanes)), lookahead


def lanes_one_by_one(shape: ProductShape, target: CpuTarget) -> int:
    """Return how many lanes lie one by one in memory, 0 where lanes lie step by step.

    High blocks have as many as keep a core busy with one register of tokens. Registers of an open
    layout are taken together with one lane, which is read front to back then.
    """
    (bs_r, _), layout = shape.block_shape, shape.layout
    if bs_r < HIGH_BLOCK_ROWS or not (layout.is_open or layout.vectors == 1):
        return 0
    most = -(-_SUMS_IN_FLIGHT[target.vector_bits] // bs_r)
    fitting = fitting_lanes(shape.units // bs_r, bs_r, layout, target)
    return next(lanes for lanes in fitting if lanes <= most)


def fitting_lanes(
    num_block_rows: int, bs_r: int, layout: TokenLayout, target: CpuTarget
) -> list[int]:
    """Return the block rows that can be accumulated together, most first.

    Of an open layout those that fit beside one tile: of more tiles, fewer are taken at a time.
    """
    vectors = 1 if layout.is_open else layout.vectors
    most = _SPARSE_ACCUMULATORS[target.num_registers] // (vectors * bs_r)
    return [n for n in _LANES if n == 1 or (n <= most and num_block_rows % n == 0)]


def _shares(tiles: int, threads: int) -> int:
    """Return into how many parts each token tile is cut, so that threads get equal work."""
    most = -(-_UNITS_PER_THREAD * threads // tiles)
    return next((n for n in range(1, most) if tiles * n % threads == 0), most)
