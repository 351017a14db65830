"""Block sparse row format: pack a dense weight, unpack it, check it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import SparsityError


@dataclass(frozen=True, eq=False)
class BSR:
    """A weight of shape (N, K) as its non-zero blocks, in the order of scipy and TVM's topi.

    Parameters
    ----------
    data : numpy.ndarray
        (nnzb, bs_r, bs_c), the blocks in row-major order.
    indices : numpy.ndarray
        (nnzb,) int32, block column of each block.
    indptr : numpy.ndarray
        (N / bs_r + 1,) int32, where each block row begins in `data` and `indices`.
    shape : (int, int)
        (N, K).
    """

    data: NDArray[Any]
    indices: NDArray[np.int32]
    indptr: NDArray[np.int32]
    shape: tuple[int, int]

    @property
    def block_shape(self) -> tuple[int, int]:
        """(bs_r, bs_c): rows along N, columns along K."""
        return int(self.data.shape[1]), int(self.data.shape[2])

    @property
    def nnzb(self) -> int:
        """Number of blocks that are stored."""
        return int(self.data.shape[0])

    @property
    def block_sparsity(self) -> float:
        """Fraction of the blocks that are not stored, 0..1."""
        num_block_rows, num_block_cols = block_grid(self.shape, self.block_shape)
        return 1.0 - self.nnzb / (num_block_rows * num_block_cols)

    @property
    def size_bytes(self) -> int:
        """Bytes of the three arrays."""
        return self.data.nbytes + self.indices.nbytes + self.indptr.nbytes

    def validate(self) -> None:
        """Check that the three arrays describe one matrix.

        Raises
        ------
        SparsityError
            A wrong rank, dtype or length, row pointers that do not ascend from 0 to nnzb, or
            block columns that are out of range or not ascending within a row.
        """
        if self.data.ndim != 3 or self.indices.ndim != 1 or self.indptr.ndim != 1:
            ranks = f"{self.data.ndim}, {self.indices.ndim} and {self.indptr.ndim}"
            raise SparsityError(
                f"BSR arrays of rank {ranks} given: data, indices, indptr need 3, 1, 1"
            )
        if self.indices.dtype != np.int32 or self.indptr.dtype != np.int32:
            raise SparsityError(
                f"BSR indices {self.indices.dtype}, indptr {self.indptr.dtype} given: "
                "both must be int32"
            )
        num_block_rows, num_block_cols = block_grid(self.shape, self.block_shape)
        if len(self.indptr) != num_block_rows + 1 or len(self.indices) != self.nnzb:
            raise SparsityError(
                f"BSR with {self.nnzb} blocks, {len(self.indices)} indices and "
                f"{len(self.indptr)} row pointers given: {num_block_rows} block rows need one "
                f"index per block and {num_block_rows + 1} row pointers"
            )
        counts = np.diff(self.indptr)
        if self.indptr[0] != 0 or self.indptr[-1] != self.nnzb or counts.min(initial=0) < 0:
            raise SparsityError(f"BSR row pointers must ascend from 0 to nnzb = {self.nnzb}")
        place = np.repeat(np.arange(num_block_rows, dtype=np.int64), counts) * num_block_cols
        in_range = (self.indices >= 0) & (self.indices < num_block_cols)
        if not in_range.all() or np.diff(place + self.indices).min(initial=1) < 1:
            raise SparsityError(
                f"BSR block columns must be below {num_block_cols} and ascend within each row"
            )


def divides(block_shape: tuple[int, int], shape: tuple[int, int]) -> bool:
    """Return whether blocks (bs_r, bs_c) tile a weight (N, K) without remainder."""
    return shape[0] % block_shape[0] == 0 and shape[1] % block_shape[1] == 0


def block_grid(shape: tuple[int, int], block_shape: tuple[int, int]) -> tuple[int, int]:
    """Return (num_block_rows, num_block_cols) of a weight (N, K) cut into blocks.

    Raises
    ------
    SparsityError
        The blocks do not divide the weight.
    """
    if min(block_shape) < 1 or not divides(block_shape, shape):
        raise SparsityError(
            f"block {_by(block_shape)} given for a weight of shape {_by(shape)} (N x K): "
            "bs-r must divide N and bs-c must divide K"
        )
    return shape[0] // block_shape[0], shape[1] // block_shape[1]


def as_blocks(weight: NDArray[Any], block_shape: tuple[int, int]) -> NDArray[Any]:
    """View a weight (N, K) as (num_block_rows, num_block_cols, bs_r, bs_c), copied if need be.

    Raises SparsityError if `weight` is not 2-D, or the blocks do not divide it.
    """
    if weight.ndim != 2:
        raise SparsityError(f"weight of rank {weight.ndim} given: blocks need a matrix (N, K)")
    rows, cols = block_grid((weight.shape[0], weight.shape[1]), block_shape)
    blocks: NDArray[Any] = weight.reshape(rows, block_shape[0], cols, block_shape[1])
    return np.swapaxes(blocks, 1, 2)


def block_mask(weight: NDArray[Any], block_shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which blocks hold a non-zero: bool (num_block_rows, num_block_cols)."""
    blocks = as_blocks(np.ascontiguousarray(weight != 0), block_shape)
    mask = np.zeros(blocks.shape[:2], np.bool_)
    # NumPy takes several times as long for a reduction over two short axes.
    for row in range(block_shape[0]):
        for column in range(block_shape[1]):
            mask |= blocks[:, :, row, column]
    return mask


def apply_block_mask(
    weight: NDArray[Any], mask: NDArray[np.bool_], block_shape: tuple[int, int]
) -> NDArray[Any]:
    """Return a copy of `weight` (N, K), in C order, with the blocks outside of `mask` zero."""
    elements = np.repeat(np.repeat(mask, block_shape[0], axis=0), block_shape[1], axis=1)
    return np.ascontiguousarray(np.where(elements, weight, weight.dtype.type(0)))


def to_bsr(weight: NDArray[Any], block_shape: tuple[int, int]) -> BSR:
    """Pack a dense weight (N, K) of any dtype; blocks (bs_r, bs_c) that are all zero are left out.

    Block columns ascend within each row.

    Raises
    ------
    SparsityError
        The blocks do not divide the weight.
    """
    mask = block_mask(weight, block_shape)
    counts = mask.sum(axis=1)
    indptr = np.zeros(len(mask) + 1, np.int32)
    np.cumsum(counts, out=indptr[1:])
    # Places on one axis: NumPy takes ten times as long to look for those on two.
    rows = np.repeat(np.arange(len(mask)), counts)
    columns = np.flatnonzero(mask) - rows * mask.shape[1]
    bs_r, bs_c = block_shape
    first_row, first_column = (rows * bs_r)[:, None, None], (columns * bs_c)[:, None, None]
    return BSR(
        data=weight[first_row + np.arange(bs_r)[:, None], first_column + np.arange(bs_c)],
        indices=columns.astype(np.int32),
        indptr=indptr,
        shape=(weight.shape[0], weight.shape[1]),
    )


def to_dense(bsr: BSR) -> NDArray[Any]:
    """Unpack to a dense weight (N, K)."""
    rows, cols = block_grid(bsr.shape, bsr.block_shape)
    blocks = np.zeros((rows, cols, *bsr.block_shape), bsr.data.dtype)
    blocks[np.repeat(np.arange(rows), np.diff(bsr.indptr)), bsr.indices] = bsr.data
    dense: NDArray[Any] = blocks.transpose(0, 2, 1, 3).reshape(bsr.shape)
    return dense


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"
