"""Register tiles per instruction set: how wide, how many rows, how much work a thread takes.

All kernels vectorise over tokens. A token tile is `token_tile` tokens (a few registers) of every
feature, contiguous in memory, so that a product walks one panel front to back. The number of
output rows that fit beside it follows from the number of registers.

The choices below come from measuring each (token tile, rows) pair on one core of an AVX-512
machine at M = 128, for the (N, K) of BERT-base; docs/decisions/0003-activation-layout.md has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tvm_sparse.kernels.packed_bsr import SparseFormat
from tvm_sparse.target import CpuTarget

#: (vectors in a token tile) in order of preference, by ISA and kind of product. Low blocks read an
#: activation for few multiply-adds and want many inputs in L1, so a narrow tile; high ones reuse
#: what they load and want few broadcasts of weights, so a wide one.
_TILE_VECTORS = {
    ("x86-64-v4", "dense"): (4, 3, 2, 1),
    ("x86-64-v4", "low"): (2, 1, 3),
    ("x86-64-v4", "high"): (4, 3, 2, 1),
    ("x86-64-v3", "dense"): (2, 3, 1),
    ("x86-64-v3", "low"): (2, 3, 1),
    ("x86-64-v3", "high"): (2, 3, 1),
    ("x86-64-v2", "dense"): (2, 3, 1),
    ("x86-64-v2", "low"): (2, 3, 1),
    ("x86-64-v2", "high"): (2, 3, 1),
    ("aarch64", "dense"): (4, 3, 2, 1),
    ("aarch64", "low"): (4, 3, 2, 1),
    ("aarch64", "high"): (4, 3, 2, 1),
}
#: Registers that hold neither accumulators nor constants: operands, broadcasts, temporaries.
_OPERAND_REGISTERS = 4
#: Accumulators of a sparse product by number of registers.
_SPARSE_ACCUMULATORS = {16: 12, 32: 24}
#: Block rows accumulated together: multiples of four share loads of values and of block columns.
_LANES = (16, 12, 8, 4, 2, 1)
#: Blocks of so many rows and more reuse a loaded activation often enough to live off L2.
HIGH_BLOCK_ROWS = 4
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
#: Operations that take one core about as long as it takes to share them with another: 5 us.
_PARALLEL_OPERATIONS = 1_000_000
#: How far ahead weights are asked for, in floats: half a page. They come from L3 or memory, where
#: the processor's own prefetching stops at the end of every page.
PREFETCH_FLOATS = 512
#: Floats of a cache line.
CACHE_LINE_FLOATS = 16
#: Steps from asking for a block's inputs to using them, which L3 answers in.
LOOKAHEAD_STEPS = 16
#: The same by width of a vector register, for high blocks. Blocks follow no pattern that a
#: processor would foresee, and waiting for inputs from L2 and L3 took up to a fifth of the time.
#: Only AVX2 has been measured; elsewhere tuning finds out. Low blocks have no room for more loads.
_LOOKAHEAD = {512: 0, 256: LOOKAHEAD_STEPS, 128: 0}


@dataclass(frozen=True)
class TokenLayout:
    """How a (batch, seq_len, features) activation lies in memory.

    Attributes
    ----------
    batch, seq_len : int
        Logical extents in sequences and tokens.
    token_tile : int
        Tokens of a tile, a multiple of `lanes`.
    lanes : int
        Float32 lanes of a vector register.

    Notes
    -----
    The tiled tensor is (batch * tiles_per_sequence, features, token_tile); the tokens past
    `seq_len` in the last tile of a sequence hold finite values nobody reads.
    """

    batch: int
    seq_len: int
    token_tile: int
    lanes: int

    @property
    def tiles_per_sequence(self) -> int:
        """Token tiles that cover one sequence."""
        return -(-self.seq_len // self.token_tile)

    @property
    def num_tiles(self) -> int:
        """Token tiles of the whole batch."""
        return self.batch * self.tiles_per_sequence

    @property
    def vectors(self) -> int:
        """Vector registers that one feature of a tile fills."""
        return self.token_tile // self.lanes

    def shape(self, features: int) -> tuple[int, int, int]:
        """Return the shape of the tiled tensor."""
        return (self.num_tiles, features, self.token_tile)


def _product_kind(block_rows: int) -> str:
    return "dense" if block_rows == 0 else "low" if block_rows < HIGH_BLOCK_ROWS else "high"


def choose_layout(batch: int, seq_len: int, target: CpuTarget, block_rows: int = 0) -> TokenLayout:
    """Choose the token tile of a build.

    Parameters
    ----------
    batch, seq_len : int
        Logical extents.
    target : CpuTarget
        The CPU to build for.
    block_rows : int
        `bs_r` of the sparse layers; 0 for a dense build.

    Returns
    -------
    TokenLayout
        The tuned tile, or the first that fits.
    """
    tuned = target.tiles.vectors(block_rows, seq_len)
    tile = tuned or fitting_vectors(seq_len, target, block_rows)[0]
    return TokenLayout(batch, seq_len, tile * target.lanes, target.lanes)


def fitting_vectors(seq_len: int, target: CpuTarget, block_rows: int = 0) -> list[int]:
    """Return the vectors of the token tiles that fit a sequence, the preferred one first.

    They pad it by at most an eighth more than the least possible.
    """
    vectors = -(-seq_len // target.lanes)
    preferred = _TILE_VECTORS[target.isa, _product_kind(block_rows)]

    def padded(tile: int) -> int:
        return -(-vectors // tile) * tile

    least = min(padded(tile) for tile in preferred)
    return [tile for tile in preferred if padded(tile) * 8 <= least * 9]


def dense_rows(layout: TokenLayout, target: CpuTarget, shape: tuple[int, int]) -> int:
    """Return the output rows of the dense register tile (NR) of a weight (N, K)."""
    tuned = target.tiles.dense_rows(*shape, layout.vectors)
    if tuned is not None:
        return tuned
    rows = split_rows(layout, target)
    # Even row counts divide the usual layer widths; 24 and 12 do as well as the most that fit.
    return next(choice for choice in (24, 12, 6, 4, 3, 2, 1) if choice <= rows)


def split_rows(layout: TokenLayout, target: CpuTarget) -> int:
    """Return the most rows of a block (or of any product) that the registers accumulate at once."""
    return max(1, (target.num_registers - _OPERAND_REGISTERS) // layout.vectors)


def row_chunks(block_rows: int, most: int) -> list[tuple[int, int]]:
    """Split the rows of a block into even (start, count) chunks of at most `most` rows."""
    chunks = -(-block_rows // most)
    size = -(-block_rows // chunks)
    return [(start, min(size, block_rows - start)) for start in range(0, block_rows, size)]


def norm_vectors(layout: TokenLayout, target: CpuTarget) -> int:
    """Return the vectors of tokens that a layer norm takes together.

    As many as leave every thread a share: a whole tile is read front to back.
    """
    shares = -(-target.threads // layout.num_tiles)
    most = max(1, layout.vectors // shares)
    return max(n for n in range(1, most + 1) if layout.vectors % n == 0)


def row_panel(rows: int, units: int, target: CpuTarget) -> int | None:
    """Return the outputs of a weight panel for a product of a few rows, None for many rows.

    With half as many rows as a register has lanes, or fewer, vectors run over outputs.
    """
    if 2 * rows > target.lanes or units % target.lanes:
        return None
    vectors = (target.num_registers - 2 * _OPERAND_REGISTERS) // rows
    return target.lanes * max(1, min(4, vectors, units // target.lanes))


def pays_in_parallel(operations: float) -> bool:
    """Whether a kernel has enough work for threads, counted in floating-point operations.

    What moves data rather than computes is counted at 20 operations a value.
    """
    return operations >= _PARALLEL_OPERATIONS


def attention_tile(layout: TokenLayout, target: CpuTarget) -> tuple[int, int, int]:
    """Return the vectors of queries and the keys or features attention takes together, and shares.

    Two vectors of scores stay in L1 where four do not, and a power of two of rows divides the
    usual extents of a head. Threads share the tiles of a sequence where there are fewer sequences
    than threads.
    """
    vectors = 2 if layout.vectors % 2 == 0 else layout.vectors
    most = target.num_registers // 2 // vectors
    tiles = layout.tiles_per_sequence
    wanted = -(-target.threads // math.gcd(target.threads, layout.batch))
    shares = next(n for n in range(1, tiles + 1) if n == tiles or (n >= wanted and tiles % n == 0))
    return vectors, 1 << (most.bit_length() - 1), shares


def sparse_format(
    num_blocks: tuple[int, int],
    block_shape: tuple[int, int],
    density: float,
    layout: TokenLayout,
    target: CpuTarget,
) -> SparseFormat:
    """Choose how a block-sparse weight is packed.

    Parameters
    ----------
    num_blocks : (int, int)
        Block rows and block columns.
    block_shape : (int, int)
        (bs_r, bs_c).
    density : float
        Share of the blocks that are stored, 0..1.
    layout : TokenLayout
        Of the activations.
    target : CpuTarget
        The CPU to build for.
    """
    num_block_rows, num_block_cols = num_blocks
    bs_r, bs_c = block_shape
    shape = (num_block_rows * bs_r, num_block_cols * bs_c)
    tuned = target.tiles.packing(shape, block_shape, layout.vectors, density)
    lanes = tuned.lanes if tuned else fitting_lanes(num_block_rows, bs_r, layout, target)[0]
    kind = _product_kind(bs_r)
    if tuned is not None:
        panels, lookahead = tuned.panels, tuned.lookahead
    else:
        lookahead = _LOOKAHEAD[target.vector_bits] if kind == "high" else 0
        fitting = _PANEL_BYTES[target.vector_bits, kind] // (4 * layout.token_tile * bs_c)
        paying = _BLOCKS_PER_PANEL_ROW / max(density, 1e-6)
        # A last panel of a quarter and less is shared among the others.
        panels = max(1, math.ceil(num_block_cols / max(fitting, paying) - 0.25))
    operations = 2.0 * layout.token_tile * density * num_block_rows * num_block_cols * bs_r * bs_c
    chunks = min(
        _shares(layout.num_tiles, target.threads), round(operations / _PARALLEL_OPERATIONS)
    )
    if panels > 1 and kind == "low":
        chunks = min(chunks, num_block_rows // _ROWS_PER_PANEL_CHUNK)
    chunks = max(1, min(chunks, num_block_rows // lanes))
    return SparseFormat(layout.token_tile, lanes, panels, chunks, lookahead)


def fitting_lanes(
    num_block_rows: int, bs_r: int, layout: TokenLayout, target: CpuTarget
) -> list[int]:
    """Return the block rows that can be accumulated together, most first."""
    most = _SPARSE_ACCUMULATORS[target.num_registers] // (layout.vectors * bs_r)
    return [n for n in _LANES if n == 1 or (n <= most and num_block_rows % n == 0)]


def _shares(tiles: int, threads: int) -> int:
    """Return into how many parts each token tile is cut, so that threads get equal work."""
    most = -(-_UNITS_PER_THREAD * threads // tiles)
    return next((n for n in range(1, most) if tiles * n % threads == 0), most)


def chunk_size(rows: int) -> int:
    """Return how many row panels of a dense weight one parallel iteration takes.

    Small enough that threads share the work evenly, and large enough that a tile of inputs is
    used often while it is in cache.
    """
    return -(-rows // 32)
