"""Register tiles per instruction set: how wide, how many rows, how much work a thread takes.

All kernels vectorise over tokens. A token tile is `token_tile` tokens (a few registers) of every
feature, contiguous in memory, so that a product walks one panel front to back. The number of
output rows that fit beside it follows from the number of registers.

The choices below come from measuring each (token tile, rows) pair on one core of an AVX-512
machine at M = 128, for the (N, K) of BERT-base; docs/decisions/0003-activation-layout.md has them.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm_sparse.target import CpuTarget

#: (vectors in a token tile) in order of preference, by ISA and kind of product. Wide tiles feed
#: 1x1 blocks best (the panel is streamed once per non-zero); blocks of 16 rows and more reuse each
#: loaded vector so often that a narrow panel, which stays nearer in cache, wins.
_TILE_VECTORS = {
    ("x86-64-v4", "dense"): (4, 3, 2, 1),
    ("x86-64-v4", "narrow"): (4, 3, 2, 1),
    ("x86-64-v4", "wide"): (2, 3, 1),
    ("x86-64-v3", "dense"): (2, 3, 1),
    ("x86-64-v3", "narrow"): (2, 3, 4, 1),
    ("x86-64-v3", "wide"): (1, 2),
    ("x86-64-v2", "dense"): (2, 3, 1),
    ("x86-64-v2", "narrow"): (2, 3, 1),
    ("x86-64-v2", "wide"): (2, 1),
    ("aarch64", "dense"): (4, 3, 2, 1),
    ("aarch64", "narrow"): (4, 3, 2, 1),
    ("aarch64", "wide"): (4, 2, 1),
}
#: Registers that hold neither accumulators nor constants: operands, broadcasts, temporaries.
_OPERAND_REGISTERS = 4
#: Multiply-adds in flight on a core with two units of four cycles' latency.
_INDEPENDENT_CHAINS = 8
#: Inputs of a panel of a narrow product, in bytes: what L1 holds beside the sums and weights.
_PANEL_BYTES = 32 * 1024
#: Blocks a row should have in a panel, and rows that should use it.
_BLOCKS_PER_PANEL_ROW = 10
_ROWS_PER_PANEL_CHUNK = 192
_ROWS_WITHOUT_PANELS = 4


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
    return "dense" if block_rows == 0 else "narrow" if block_rows < 8 else "wide"


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
        The preferred tile among those that pad the sequence by at most an eighth more than the
        least possible.
    """
    vectors = -(-seq_len // target.lanes)
    preferred = _TILE_VECTORS[target.isa, _product_kind(block_rows)]

    def padded(tile: int) -> int:
        return -(-vectors // tile) * tile

    least = min(padded(tile) for tile in preferred)
    tile = next(tile for tile in preferred if padded(tile) * 8 <= least * 9)
    return TokenLayout(batch, seq_len, tile * target.lanes, target.lanes)


def dense_rows(layout: TokenLayout, target: CpuTarget) -> int:
    """Return the output rows of the dense register tile (NR)."""
    accumulators = target.num_registers - _OPERAND_REGISTERS
    rows = accumulators // layout.vectors
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


def accumulator_sets(block_rows: int, layout: TokenLayout, target: CpuTarget) -> int:
    """Return how many sets of accumulators hide the latency of a multiply-add.

    A register tile of few accumulators waits for its own results: two units of four cycles each
    want eight independent chains. A second set takes every other block.
    """
    count = row_chunks(block_rows, split_rows(layout, target))[0][1]
    return 1 if count * layout.vectors >= _INDEPENDENT_CHAINS else 2


def input_panels(
    num_block_cols: int, block_shape: tuple[int, int], density: float, layout: TokenLayout
) -> int:
    """Return how many panels the inputs of a block-sparse product are cut into.

    Parameters
    ----------
    num_block_cols : int
        Block columns of the weight.
    block_shape : (int, int)
        (bs_r, bs_c).
    density : float
        Share of its blocks that are stored, 0..1.
    layout : TokenLayout
        Of the activations.

    Notes
    -----
    A panel should fit L1, but every row that passes over it reads and writes its sums once, which
    wants about a dozen blocks there to pay. From four rows on a block reuses what it loads often
    enough without.
    """
    bs_r, bs_c = block_shape
    if bs_r >= _ROWS_WITHOUT_PANELS or layout.num_tiles * layout.token_tile <= layout.lanes:
        return 1
    fitting = _PANEL_BYTES // (4 * layout.token_tile * bs_c)
    paying = _BLOCKS_PER_PANEL_ROW / max(density, 1e-6)
    width = fitting
    while width < paying:
        width *= 2
    return max(1, round(num_block_cols / width))


def chunk_size(rows: int, panels: int = 1) -> int:
    """Return how many row panels, or block rows, one parallel iteration takes.

    Small enough that threads share the work evenly, and large enough that a panel of inputs is
    used often while it is in cache.
    """
    most_chunks, least_rows = (32, 1) if panels == 1 else (32, _ROWS_PER_PANEL_CHUNK)
    return min(rows, max(least_rows, -(-rows // most_chunks)))
