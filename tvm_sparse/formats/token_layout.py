"""Activations in token tiles, and how many registers a tile fills.

All kernels vectorise over tokens. A token tile is `token_tile` tokens (a few registers) of every
feature, contiguous in memory, so that a product walks one panel front to back. The number of
output rows that fit beside it follows from the number of registers.

The choices below come from measuring each (token tile, rows) pair on one core of an AVX-512
machine at M = 128, for the (N, K) of BERT-base; docs/decisions/0003-activation-layout.md has them.
Those of AArch64 come from counting the instructions of its loops: docs/decisions/0027-aarch64.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from tvm_sparse.config.micro_batches import NOMINAL_SEQ_LEN
from tvm_sparse.target import CpuTarget

#: (vectors in a token tile) in order of preference, by ISA and kind of product. Low blocks read an
#: activation for few multiply-adds and want many inputs in L1, so a narrow tile; high ones reuse
#: what they load and want few broadcasts of weights, so a wide one.
_TILE_VECTORS: dict[str, dict[str, tuple[int, ...]]] = {
    "x86-64-v4": {"dense": (4, 3, 2, 1), "low": (2, 1, 3), "high": (4, 3, 2, 1)},
    "x86-64-v3": {"dense": (2, 3, 1), "low": (2, 3, 1), "high": (2, 3, 1)},
    "x86-64-v2": {"dense": (2, 3, 1), "low": (2, 3, 1), "high": (2, 3, 1)},
    "aarch64": {"dense": (4, 3, 2, 1), "low": (4, 3, 2, 1), "high": (4, 3, 2, 1)},
}
#: Registers that hold neither accumulators nor constants: operands, broadcasts, temporaries.
OPERAND_REGISTERS = 4
#: Blocks of so many rows and more reuse a loaded activation often enough to live off L2.
HIGH_BLOCK_ROWS = 4


@dataclass(frozen=True)
class TokenLayout:
    """How a (batch, seq_len, features) activation lies in memory, `token_tile` tokens a tile.

    The tiled tensor is (batch * tiles_per_sequence, features, token_tile). A tile is a multiple of
    `lanes`, the float32 lanes of a vector register. Where the last tile of a sequence has fewer
    tokens, kernels compute the registers that have some (`last_vectors`), which finite values fill
    up; the others hold anything.

    An *open* layout leaves batch and lengths to the run: both are 0 here. Its tiled tensor is
    (TILES, features, token_tile), and a `tile_map` (TILES, 4) of int32 says of each tile the number
    of its sequence, the position there of its first token, the first tile of its sequence, and the
    length of its sequence in tokens. The tiles of a sequence follow one another, the sequences too;
    each has one token at least. A tile is one register, so that a short text lies densely; kernels
    take as many neighbouring tiles *together* as suits them, whatever sequences they are of. In the
    last tile of a sequence finite values fill the rest.

    An open layout *of rows* holds one token of each sequence of the batch, as the tokens of one
    sequence. Kernels do not know it from another.
    """

    batch: int
    seq_len: int
    token_tile: int
    lanes: int
    together: int = 1
    of_rows: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the batch and the lengths of its sequences are left to the run."""
        return self.batch == 0

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
        """Vector registers of tokens that kernels take together: a tile, or some of an open one."""
        return self.token_tile // self.lanes * self.together

    @property
    def last_vectors(self) -> int:
        """Registers of the last tile of a sequence that have tokens, of a layout not open."""
        unused = (self.tiles_per_sequence * self.token_tile - self.seq_len) // self.lanes
        return self.vectors - unused

    @property
    def width(self) -> int:
        """Tokens that kernels take together."""
        return self.token_tile * self.together

    def shape(self, features: int) -> tuple[int, int, int]:
        """Return the shape of the tiled tensor."""
        return (self.num_tiles, features, self.token_tile)

    def kept_values(self, features: int) -> int:
        """Return how many values threads find where they left them if they take tiles in order.

        None of a single tile, which they share by features.
        """
        return self.num_tiles * self.token_tile * features if self.num_tiles > 1 else 0


def product_kind(block_rows: int) -> str:
    """Return the row of the tables for a build whose sparse blocks have so many rows, 0: none."""
    return "dense" if block_rows == 0 else "low" if block_rows < HIGH_BLOCK_ROWS else "high"


def choose_layout(batch: int, seq_len: int, target: CpuTarget, block_rows: int = 0) -> TokenLayout:
    """Choose the token tile of a build: the tuned one, or the first that fits.

    `block_rows` is `bs_r` of the sparse layers; 0 for a dense build.
    """
    tuned = target.tiles.vectors(block_rows, seq_len)
    tile = tuned or fitting_vectors(seq_len, target, block_rows)[0]
    return TokenLayout(batch, seq_len, tile * target.lanes(), target.lanes())


def choose_open_layout(target: CpuTarget, block_rows: int = 0) -> TokenLayout:
    """Choose how many tiles are taken together for any batch and any lengths.

    The tile that tuning found for texts of `NOMINAL_SEQ_LEN`, or what is preferred. On 16 registers
    three where blocks have `HIGH_BLOCK_ROWS` and little more, which leaves no register idle.
    """
    together = target.tiles.vectors(block_rows, NOMINAL_SEQ_LEN)
    if together is None:
        together = _TILE_VECTORS[target.isa][product_kind(block_rows)][0]
        if HIGH_BLOCK_ROWS <= block_rows < 2 * HIGH_BLOCK_ROWS and target.num_registers == 16:
            together = 3
    return TokenLayout(0, 0, target.lanes(), target.lanes(), together)


def fitting_vectors(seq_len: int, target: CpuTarget, block_rows: int = 0) -> list[int]:
    """Return the vectors of the token tiles that fit a sequence, the preferred one first.

    They cost at most an eighth more than those that leave nothing over: what is missing in the last
    tile counts half, for a product is slower on few vectors, and threads share tiles.
    """
    vectors = -(-seq_len // target.lanes())
    preferred = _TILE_VECTORS[target.isa][product_kind(block_rows)]
    return [tile for tile in preferred if (vectors + -vectors % tile / 2) * 8 <= vectors * 9]


def split_rows(layout: TokenLayout, target: CpuTarget) -> int:
    """Return the most rows of a block (or of any product) that the registers accumulate at once.

    On AArch64 multiply-adds take no operand from memory: the tokens of a step need registers too.
    """
    loaded = layout.vectors if target.isa == "aarch64" else 0
    return max(1, (target.num_registers - OPERAND_REGISTERS - loaded) // layout.vectors)
