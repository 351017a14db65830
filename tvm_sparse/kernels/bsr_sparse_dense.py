"""Block-sparse product on token tiles: out = activation(BSR weight @ data + bias) + residual.

Every non-zero block is a (bs_r, bs_c) patch of the weight. Its values are broadcast against
vectors of tokens, so that a loaded activation serves bs_r outputs; the rows of a block that fit
the registers are accumulated together. The number of blocks is symbolic: one kernel serves all
layers of a shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tvm

from tvm_sparse.kernels.epilogue import Epilogue
from tvm_sparse.kernels.tiling import TokenLayout, accumulator_sets, chunk_size, row_chunks
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
)


@dataclass(frozen=True)
class PackedBSR:
    """BSR with each block stored column by column, in the order the kernel reads it.

    Attributes
    ----------
    data : ndarray of float32, (nnzb, bs_c, bs_r)
    indices : ndarray of int32, (nnzb,)
        First input feature of the block (block column times bs_c).
    indptr : ndarray of int32, (num_block_rows + 1,)
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


def pack_bsr(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> PackedBSR:
    """Pack a BSR triple.

    Parameters
    ----------
    data : ndarray of float32, (nnzb, bs_r, bs_c)
    indices : ndarray of int32, (nnzb,)
        Block columns.
    indptr : ndarray of int32, (num_block_rows + 1,)

    Notes
    -----
    An all-zero weight has no block at all; one zero block that no row refers to is kept, since
    TVM's buffers may not be empty.
    """
    _, bs_r, bs_c = data.shape
    if len(data) == 0:
        data = np.zeros((1, bs_r, bs_c), np.float32)
        indices = np.zeros(1, np.int32)
    return PackedBSR(
        np.ascontiguousarray(data.transpose(0, 2, 1)),
        (indices * bs_c).astype(np.int32),
        indptr.astype(np.int32),
    )


def make_bsr_sparse_dense(
    layout: TokenLayout,
    units: int,
    depth: int,
    block_shape: tuple[int, int],
    rows: int,
    epilogue: Epilogue,
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

    Returns
    -------
    PrimFunc
        (data (tiles, K, T), weight_data (nnzb, bs_c, bs_r), weight_indices (nnzb,),
        weight_indptr (N / bs_r + 1,), [bias (N,)], [residual], out (tiles, N, T)).
    """
    bs_r, bs_c = block_shape
    lanes, vectors = layout.lanes, layout.vectors
    num_block_rows = units // bs_r
    per_chunk = chunk_size(num_block_rows)
    num_chunks = -(-num_block_rows // per_chunk)

    def body() -> None:
        nnzb = T.int64()
        data = argument("data", layout.shape(depth))
        weight_data = argument("weight_data", (nnzb, bs_c, bs_r))
        weight_indices = argument("weight_indices", (nnzb,), "int32")
        weight_indptr = argument("weight_indptr", (num_block_rows + 1,), "int32")
        finish = epilogue.declare(units, layout.shape(units))
        out = argument("out", layout.shape(units))

        def block_row_times_tile(block_row: Expr, tile: Expr, start: int, count: int) -> None:
            sets = accumulator_sets(count * vectors)
            acc = Registers(count * vectors * sets, lanes)
            acc.fill(0.0)

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

            row_start, row_end = weight_indptr[block_row], weight_indptr[block_row + 1]
            groups = T.floordiv(row_end - row_start, sets)
            with serial(0, groups) as group:
                for into in range(sets):
                    accumulate(row_start + group * sets + into, into)
            if sets > 1:
                with serial(row_start + groups * sets, row_end) as elem_idx:
                    accumulate(elem_idx, 0)
                for index in range(count * vectors):
                    for into in range(1, sets):
                        acc[index] = acc[index] + acc[into * count * vectors + index]
            finish.store(out, acc, tile, block_row * bs_r + start, count, layout)

        with parallel(num_chunks, "bsr_sparse_dense") as chunk:
            with serial(0, layout.num_tiles) as tile, serial(0, per_chunk) as offset:
                block_row = chunk * per_chunk + offset
                with T.If(block_row < num_block_rows), T.Then():
                    for start, count in row_chunks(bs_r, rows):
                        block_row_times_tile(block_row, tile, start, count)

    return prim_func(body)
