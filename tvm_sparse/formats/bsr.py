"""Block-sparse weights in the order in which the kernel meets their blocks.

The kernel accumulates a few block rows at a time, the *lanes* of a group, and takes one block of
each per *step*. Rows of about equally many blocks share a group, so that little is padded and a
loop ends where the one before it did, which the branch predictor learns. Where a kernel takes one
lane at a time as well, groups are of neighbours, in the order in which outputs are best written,
and the blocks of each lane lie together (*lane-major*). The inputs may be cut into *panels* that
stay in L1, the rows into *chunks* of equal work for the threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.formats.bsr_tiles import choose_packing, lanes_one_by_one
from tvm_sparse.formats.weight_format import ProductShape, Weight, WeightFormat
from tvm_sparse.target import CpuTarget
from tvm_sparse.tiles import SparseTile

#: Bits of a word that holds the offsets of several lanes.
WORD_BITS = 64


@dataclass(frozen=True)
class Field:
    """A part of a word, so many bits wide, that holds the offset of one lane in units of floats."""

    bits: int
    unit: int


@dataclass(frozen=True)
class SparseFormat(WeightFormat):
    """How the float32 blocks of a weight are ordered.

    Attributes
    ----------
    token_tile : int
        Floats from one input feature to the next: offsets count them.
    lanes : int
        Block rows of a group. A divisor of the number of block rows.
    panels : int
        Parts of the inputs, as even as they go.
    chunks : int
        Parts of the block rows, about equal in blocks.
    lookahead : int
        Steps between asking for a block's inputs and using them; 0 for never asking.
    lane_major : bool
        Whether the blocks of a group lie lane after lane instead of step after step.
    """

    token_tile: int
    lanes: int = 1
    panels: int = 1
    chunks: int = 1
    lookahead: int = 0
    _: KW_ONLY
    lane_major: bool = False

    name = "BSR float32"
    is_sparse = True
    arrays: ClassVar[tuple[str, ...]] = ("data", "offsets", "groups", "rows", "chunks")
    kernels = ("sparse_dense",)

    @classmethod
    def choose(cls, shape: ProductShape, target: CpuTarget) -> SparseFormat:
        """Choose lanes and how they lie, panels, chunks and lookahead."""
        tuned = cls.tuned(shape, target)
        form = cls(shape.layout.token_tile, *choose_packing(shape, target, tuned))
        alone = lanes_one_by_one(shape, target)
        # What was tuned are lanes of a build for one shape.
        is_found = tuned is not None and not shape.layout.is_open
        lanes = form.lanes if is_found or not alone else alone
        return replace(form, lanes=lanes, lane_major=1 < lanes <= alone)

    @classmethod
    def tuned(cls, shape: ProductShape, target: CpuTarget) -> SparseTile | None:
        """Return what tuning found for a weight of the format, None if it was not tuned."""
        return target.tiles.packing(
            *((shape.units, shape.depth), shape.block_shape, shape.layout.vectors),
            *(shape.density, cls.dtype),
        )

    @property
    def tile(self) -> int:
        """Floats from one input feature to the next: what offsets count."""
        return self.token_tile

    @property
    def inputs(self) -> int:
        """Places from which a lane reads the inputs of a step, each with an offset of its own."""
        return 1

    @property
    def abreast(self) -> int:
        """Lanes that have a block in each step of what is packed."""
        return 1 if self.lane_major else self.lanes

    @property
    def offsets(self) -> int:
        """Offsets of a step."""
        return self.abreast * self.inputs

    def pack(self, weight: Weight, depth: int) -> tuple[NDArray[Any], ...]:
        """Return the arrays of a `PackedBSR`."""
        data, indices, indptr = weight
        return pack_bsr(data, indices, indptr, depth // data.shape[2], self).arrays

    @classmethod
    def stack(cls, weights: Sequence[Weight]) -> Weight:
        """Return the blocks of all, block row by block row."""
        data, indices, _ = (np.concatenate(parts) for parts in zip(*weights, strict=True))
        starts = np.cumsum([0, *(len(blocks) for blocks, _, _ in weights)])
        ends = [indptr[1:] + start for (_, _, indptr), start in zip(weights, starts, strict=False)]
        return data, indices, np.concatenate([np.zeros(1, np.int32), *ends])

    @classmethod
    def bytes_per_weight(cls, block_shape: tuple[int, int] = (0, 0)) -> float:
        """Return the bytes of a value and its share of a block's offset.

        Twelve low blocks share 16 bytes of offsets; others have 4 bytes of their own.
        """
        offset = 16 / 12 if block_shape[0] < 4 else 4.0
        return cls.value_bytes() + offset / (block_shape[0] * block_shape[1])

    def size_bytes(
        self, shape: tuple[int, int], block_shape: tuple[int, int] = (0, 0), density: float = 1.0
    ) -> float:
        """Return the bytes of blocks, rows, and the steps behind them that a kernel looks at."""
        units, depth = shape
        bs_r, bs_c = block_shape
        stored = units * depth * density + self.lookahead * self.abreast * bs_r * bs_c
        return stored * self.bytes_per_weight(block_shape) + 4 * units / bs_r

    def field(self, num_block_cols: int, bs_c: int) -> Field | None:
        """Return how an offset lies in a word, None where offsets have words of their own.

        A step loads as much for its words as for activations that count double: eight lanes to a
        word rather than four, where the panel is narrow enough, take a tenth of the time. Of
        fields that need as many words, those of whole floats spare a multiplication.
        """
        if self.offsets % 4:
            return None
        columns = -(-num_block_cols // self.panels)
        block = bs_c * self.token_tile
        options = (Field(16, 1), Field(8, block), Field(16, block))
        fitting = [field for field in options if columns * block <= field.unit << field.bits]
        return min(fitting, key=lambda field: self.words(field.bits), default=None)

    def of_any_size(self, num_block_cols: int, bs_c: int) -> SparseFormat:
        """Return what a kernel knows of it that takes products of any size."""
        known = self.field(num_block_cols, bs_c)
        sizes = self.token_tile, self.lanes, 0, 0, self.lookahead
        return _OfAnySize(*sizes, known, lane_major=self.lane_major)

    def lanes_together(self, tiles: int) -> int:
        """Return the lanes that a kernel takes together with so many tiles of an open layout.

        All with one tile. Of more, a part of a word's lanes, or those of whole words.
        """
        if tiles == 1:
            return self.lanes
        return next(
            n for n in (8, 4, 2, 1) if self.lanes % n == 0 and n * tiles <= max(self.lanes, tiles)
        )

    def words(self, bits: int) -> int:
        """Return the words of a step when each offset has so many bits."""
        return -(-self.offsets * bits // WORD_BITS)


@dataclass(frozen=True)
class _OfAnySize(SparseFormat):
    """A form without panels and chunks, 0 here, and what follows from them."""

    known: Field | None = None

    def field(self, num_block_cols: int, bs_c: int) -> Field | None:
        return self.known


@dataclass(frozen=True)
class PackedBSR:
    """A BSR weight in a `SparseFormat`.

    Attributes
    ----------
    data : ndarray of float32 or int32, (steps, abreast, bs_c, bs_r)
        Blocks, column by column; zero where a lane has fewer blocks than its group has steps.
    offsets : ndarray of int32 (steps, abreast * inputs), or int64 (steps, words)
        Floats from the panel's first input to the block's; int64 where several share a word
        (`SparseFormat.field`).
    groups : ndarray of int32, (num_groups * lanes / abreast + 1,)
        First step of each group, or of each of its lanes one by one. Groups come chunk by chunk,
        panel by panel, long ones first. Those of lanes one by one are of neighbours and come in
        order, with the longest lane first.
    rows : ndarray of int32, (num_groups, lanes)
        First output unit of each lane.
    chunks : ndarray of int32, (chunks, panels + 3)
        First and end unit, then the first group of each panel and the end of the last.
    """

    data: NDArray[Any]
    offsets: NDArray[np.int32] | NDArray[np.int64]
    groups: NDArray[np.int32]
    rows: NDArray[np.int32]
    chunks: NDArray[np.int32]

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """The five arrays in the order of the kernel's arguments."""
        return self.data, self.offsets, self.groups, self.rows, self.chunks


def panel_start(panel: Any, panels: Any, num_block_cols: Any) -> Any:
    """Return the first block column of a panel: of numbers, arrays or TIR expressions."""
    return (panel * num_block_cols + panels - 1) // panels


def pack_bsr(
    data: NDArray[Any],
    indices: NDArray[np.int32],
    indptr: NDArray[np.int32],
    num_block_cols: int,
    form: SparseFormat,
) -> PackedBSR:
    """Pack a BSR triple: (nnzb, bs_r, bs_c), int32 (nnzb,), int32 (num_block_rows + 1,).

    Values have four bytes: float32, or words of integers. Panels ascend within a row, and the
    form's lanes divide the number of block rows. A block that reads several inputs has as many
    columns, all in one panel: indices are (nnzb, inputs).

    After the last step come `lookahead` steps of zeros that no group refers to, for the kernel to
    look at. An all-zero weight has one at least, since TVM's buffers may not be empty.
    """
    _, bs_r, bs_c = data.shape
    num_block_rows, panels, lanes = len(indptr) - 1, form.panels, form.lanes
    abreast = form.abreast
    starts = panel_start(np.arange(panels), panels, num_block_cols)
    row_of = np.repeat(np.arange(num_block_rows), np.diff(indptr))
    indices = indices.reshape(len(indices), form.inputs)
    panel_of = np.searchsorted(starts, indices[:, 0], side="right") - 1
    counts = np.bincount(row_of * panels + panel_of, minlength=num_block_rows * panels)
    counts = counts.reshape(num_block_rows, panels)
    bounds = _chunk_bounds(counts.sum(axis=1), form)
    chunk_of = np.repeat(np.arange(form.chunks), np.diff(bounds))

    # The groups of one panel, all chunks: rows by falling count, chunk by chunk. A single lane has
    # nobody to wait for, and lanes one by one are taken alone too: their rows, or groups, stay in
    # order, in which outputs are best written.
    length = counts if lanes > 1 else np.zeros_like(counts)
    near = np.arange(num_block_rows) // (lanes if form.lane_major else num_block_rows)
    by_panel = [
        np.lexsort((-length[:, panel], near, chunk_of)).reshape(-1, lanes)
        for panel in range(panels)
    ]
    groups_before = bounds // lanes
    groups_of = np.diff(groups_before)
    # Where the groups of (chunk, panel) begin when all panels of a chunk come together.
    first_group = groups_before[:-1, None] * panels + np.arange(panels) * groups_of[:, None]
    rows = np.empty((num_block_rows // lanes * panels, lanes), np.int64)
    steps = np.empty((len(rows), lanes // abreast), np.int64)
    place = np.empty((num_block_rows, panels), np.int64)  # group * lanes + lane of a row
    for panel, members in enumerate(by_panel):
        chunk = chunk_of[members[:, 0]]
        group = first_group[chunk, panel] + np.arange(len(members)) - groups_before[chunk]
        rows[group] = members
        steps[group] = counts[members[:, ::abreast], panel]
        place[members, panel] = group[:, None] * lanes + np.arange(lanes)
    group_starts = np.concatenate([[0], np.cumsum(steps)])

    # Rank of each block among those of its row in its panel: they follow each other.
    first_block = np.cumsum(counts.ravel()) - counts.ravel()
    rank = np.arange(len(row_of)) - first_block[row_of * panels + panel_of]
    of_steps, lane = np.divmod(place[row_of, panel_of], abreast)
    step = group_starts[of_steps] + rank
    num_steps = max(1, int(group_starts[-1]) + form.lookahead)
    packed = np.zeros((num_steps, abreast, bs_c, bs_r), data.dtype)
    packed[step, lane] = data.transpose(0, 2, 1)
    columns = np.zeros((num_steps, abreast, form.inputs), np.int32)
    columns[step, lane] = indices - starts[panel_of, None]
    return PackedBSR(
        packed,
        _pack_offsets(
            columns.reshape(num_steps, -1) * np.int32(bs_c * form.token_tile),
            num_block_cols,
            bs_c,
            form,
        ),
        group_starts.astype(np.int32),
        (rows * bs_r).astype(np.int32),
        np.column_stack(
            [bounds[:-1] * bs_r, bounds[1:] * bs_r, first_group, first_group[:, -1] + groups_of]
        ).astype(np.int32),
    )


def _pack_offsets(
    offsets: NDArray[np.int32], num_block_cols: int, bs_c: int, form: SparseFormat
) -> NDArray[Any]:
    field = form.field(num_block_cols, bs_c)
    if field is None:
        return offsets
    num_steps, count = offsets.shape
    width = form.words(field.bits) * WORD_BITS // field.bits
    padded = np.zeros((num_steps, width), f"<u{field.bits // 8}")
    padded[:, :count] = offsets // field.unit
    return padded.view("<i8")


def _chunk_bounds(blocks: NDArray[np.int64], form: SparseFormat) -> NDArray[np.int64]:
    """Cut block rows into chunks of about equal work, at multiples of the lanes: (chunks + 1,)."""
    # A row costs something even when it has few blocks.
    work = np.cumsum(blocks + 1)
    wanted = work[-1] * np.arange(1, form.chunks) / form.chunks
    cuts = np.searchsorted(work, wanted, side="left") + 1
    cuts = np.rint(cuts / form.lanes).astype(np.int64) * form.lanes
    return np.concatenate([[0], np.minimum(cuts, len(blocks)), [len(blocks)]])
