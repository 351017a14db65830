"""Block-sparse product on token tiles: out = activation(BSR weight @ data + bias) + residual.

Every non-zero block is a (bs_r, bs_c) patch of the weight. Its values are broadcast against
vectors of tokens, so that a loaded activation serves bs_r outputs; the rows of a block that fit
the registers are accumulated together. The number of blocks is symbolic: one kernel serves all
layers of a shape.

Small blocks reuse a loaded activation too little to live off L2. Their inputs are cut into panels
that nearly fit L1: all rows of a chunk pass over one panel before the next, and the sums wait in
`out`, which is small beside what is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tvm

from tvm_sparse.kernels.epilogue import Epilogue
from tvm_sparse.kernels.tiling import TokenLayout, chunk_size, row_chunks
from tvm_sparse.kernels.vector import (
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    load,
    parallel,
    prim_func,
    serial,
    store,
)


@dataclass(frozen=True)
class PanelFormat:
    """How the blocks of a weight are ordered and counted for the kernel.

    Attributes
    ----------
    panels : int
        Panels the block columns are cut into, as evenly as they go.
    sets : int
        Sets of accumulators that take the blocks of a row in turn.
    """

    panels: int = 1
    sets: int = 1


#: One panel, one set.
PLAIN_FORMAT = PanelFormat()


@dataclass(frozen=True)
class PackedBSR:
    """BSR with each block stored column by column, in the order the kernel reads it.

    Attributes
    ----------
    data : ndarray of float32, (nnzb, bs_c, bs_r)
    indices : ndarray of int32, (nnzb,)
        First input feature of the block (block column times bs_c).
    indptr : ndarray of int32, (panels * num_block_rows + 1,)
        Panel by panel, and within a panel row by row. Every row of a panel holds a multiple of
        `PanelFormat.sets` blocks, zero blocks at its end where need be.
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


def pack_bsr(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    num_block_cols: int,
    form: PanelFormat = PLAIN_FORMAT,
) -> PackedBSR:
    """Pack a BSR triple.

    Parameters
    ----------
    data : ndarray of float32, (nnzb, bs_r, bs_c)
    indices : ndarray of int32, (nnzb,)
        Block columns.
    indptr : ndarray of int32, (num_block_rows + 1,)
    num_block_cols : int
        Number of block columns.
    form : PanelFormat
        Panels and padding.

    Notes
    -----
    An all-zero weight has no block at all; one zero block that no row refers to is kept, since
    TVM's buffers may not be empty.
    """
    _, bs_r, bs_c = data.shape
    num_block_rows = len(indptr) - 1
    rows = np.repeat(np.arange(num_block_rows), np.diff(indptr))
    panel_rows = indices.astype(np.int64) * form.panels // num_block_cols * num_block_rows + rows
    # Stable: within a row of a panel the blocks stay in the order of their columns.
    order = np.argsort(panel_rows, kind="stable")
    counts = np.bincount(panel_rows, minlength=form.panels * num_block_rows)
    packed_indptr = np.concatenate([[0], np.cumsum(-(-counts // form.sets) * form.sets)])
    within = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.repeat(packed_indptr[:-1], counts) + within
    nnzb = max(1, int(packed_indptr[-1]))
    packed_data = np.zeros((nnzb, bs_c, bs_r), np.float32)
    packed_data[places] = data[order].transpose(0, 2, 1)
    packed_indices = np.zeros(nnzb, np.int32)
    packed_indices[places] = indices[order] * bs_c
    return PackedBSR(packed_data, packed_indices, packed_indptr.astype(np.int32))


def make_bsr_sparse_dense(
    layout: TokenLayout,
    units: int,
    depth: int,
    block_shape: tuple[int, int],
    rows: int,
    epilogue: Epilogue,
    form: PanelFormat = PLAIN_FORMAT,
) -> tvm.tirx.PrimFunc:
    """Make the kernel for one (units, depth, block_shape).

    Parameters
    ----------
    layout : TokenLayout
        Of data, residual and out.
    units, depth : int
        N outputs and K inputs, multiples of the block shape.
    block_shape : (int, int)
        (bs_r, bs_c).
    rows : int
        The most rows of a block that are accumulated together.
    epilogue : Epilogue
        Fused operations.
    form : PanelFormat
        How the weight was packed.

    Returns
    -------
    PrimFunc
        (data (tiles, K, T), weight_data (nnzb, bs_c, bs_r), weight_indices (nnzb,),
        weight_indptr (panels * N / bs_r + 1,), [bias (N,)], [residual], out (tiles, N, T)).
    """
    bs_r, bs_c = block_shape
    lanes, vectors = layout.lanes, layout.vectors
    panels, sets = form.panels, form.sets
    num_block_rows = units // bs_r
    per_chunk = chunk_size(num_block_rows, panels)
    num_chunks = -(-num_block_rows // per_chunk)

    def body() -> None:
        nnzb = T.int64()
        data = argument("data", layout.shape(depth))
        weight_data = argument("weight_data", (nnzb, bs_c, bs_r))
        weight_indices = argument("weight_indices", (nnzb,), "int32")
        weight_indptr = argument("weight_indptr", (panels * num_block_rows + 1,), "int32")
        tail = epilogue.declare(units, layout.shape(units))
        out = argument("out", layout.shape(units))

        def block_row_times_panel(
            block_row: Expr, tile: Expr, panel: Expr | int, start: int, count: int
        ) -> None:
            """Add one panel to `count` rows of a block row."""
            acc = Registers(count * vectors * sets, lanes)
            acc.fill(0.0)
            first_unit = block_row * bs_r + start
            is_first = isinstance(panel, int) and (panel == 0 or panels == 1)
            is_last = isinstance(panel, int) and panel == panels - 1
            if not is_first:
                for row in range(count):
                    for vector in range(vectors):
                        acc[row * vectors + vector] = load(
                            out, [tile, first_unit + row, vector * lanes], lanes
                        )

            def accumulate(elem_idx: Expr, into: int) -> None:
                for column in range(bs_c):
                    k = weight_indices[elem_idx] + column
                    for row in range(count):
                        factor = broadcast(weight_data[elem_idx, column, start + row], lanes)
                        for vector in range(vectors):
                            index = (into * count + row) * vectors + vector
                            acc[index] = acc[index] + factor * load(
                                data, [tile, k, vector * lanes], lanes
                            )

            position = panel * num_block_rows + block_row
            row_start, row_end = weight_indptr[position], weight_indptr[position + 1]
            with serial(0, T.floordiv(row_end - row_start, sets)) as group:
                for into in range(sets):
                    accumulate(row_start + group * sets + into, into)
            for index in range(count * vectors):
                for into in range(1, sets):
                    acc[index] = acc[index] + acc[into * count * vectors + index]
            if is_last:
                tail.store(out, acc, tile, first_unit, count, layout)
                return
            for row in range(count):
                for vector in range(vectors):
                    place = [tile, first_unit + row, vector * lanes]
                    store(out, acc[row * vectors + vector], place, lanes)

        def chunk_times_panel(chunk: Expr, tile: Expr, panel: Expr | int) -> None:
            with serial(0, per_chunk) as offset:
                block_row = chunk * per_chunk + offset
                with T.If(block_row < num_block_rows), T.Then():
                    for start, count in row_chunks(bs_r, rows):
                        block_row_times_panel(block_row, tile, panel, start, count)

        # Chunk by chunk, so that its weights are still near when the next tile wants them.
        with parallel(num_chunks * layout.num_tiles, "bsr_sparse_dense") as unit:
            chunk, tile = T.floordiv(unit, layout.num_tiles), T.floormod(unit, layout.num_tiles)
            chunk_times_panel(chunk, tile, 0)
            if panels > 2:
                with serial(1, panels - 1) as panel:
                    chunk_times_panel(chunk, tile, panel)
            if panels > 1:
                chunk_times_panel(chunk, tile, panels - 1)
            first_unit = chunk * (per_chunk * bs_r)
            stop_unit = T.min(first_unit + per_chunk * bs_r, T.int64(units))
            tail.finish(out, tile, first_unit, stop_unit, layout)

    return prim_func(body)
