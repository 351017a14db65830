"""The tensors of a safetensors file: read one by one, changed in place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tvm_sparse.errors import CheckpointError
from tvm_sparse.records.safetensors_header import read_header

#: Of values that mean what they say; what is stored in others (I8, U8, F8_E4M3 …) is quantised.
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_DTYPES = {
    **FLOATS,
    **{f"{sign}{bits}": f"<{sign.lower()}{bits // 8}" for sign in "IU" for bits in (8, 16, 32, 64)},
    "BOOL": "|b1",
}


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in a file, with name and dtype as its header has them."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def read(self) -> np.ndarray:
        """Return the values; floating-point ones as float32 (float64 for F64)."""
        if self.dtype not in _DTYPES:
            raise CheckpointError(
                f"{self.name} in {self.path} is stored as {self.dtype}: quantised"
            )
        raw = np.fromfile(
            self.path, _DTYPES[self.dtype], int(np.prod(self.shape)), offset=self.offset
        )
        raw = raw.reshape(self.shape)
        if self.dtype == "BF16":
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32) if self.dtype == "F16" else raw

    def parts(self, rows: int) -> list[StoredTensor]:
        """Return the tensor cut into parts of so many rows, which lie one after the other."""
        if not self.shape or rows <= 0 or self.shape[0] % rows:
            return []
        shape = (rows, *self.shape[1:])
        size = int(np.prod(shape)) * np.dtype(FLOATS[self.dtype]).itemsize
        return [
            replace(self, shape=shape, offset=self.offset + number * size)
            for number in range(self.shape[0] // rows)
        ]

    def write(self, values: np.ndarray, path: Path) -> None:
        """Write other values over a floating-point tensor in `path`, a copy of its file.

        Raises CheckpointError if a value is too large for the file's dtype.
        """
        if self.dtype == "BF16":
            bits = values.astype(np.float32).view(np.uint32)
            # To nearest, ties to even.
            raw = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
        else:
            with np.errstate(over="ignore"):
                raw = values.astype(FLOATS[self.dtype])
            if not np.isfinite(raw).all():
                raise CheckpointError(
                    f"{self.name}: a pruned weight does not fit {self.dtype}; save the checkpoint "
                    "as float32 first"
                )
        with path.open("r+b") as file:
            file.seek(self.offset)
            file.write(np.ascontiguousarray(raw).tobytes())


def stored_tensors(path: Path) -> list[StoredTensor]:
    """List the tensors of a safetensors file; CheckpointError if it is damaged."""
    header = read_header(path)
    return [
        StoredTensor(
            path, name, entry.dtype, entry.shape, header.data_start + entry.data_offsets[0]
        )
        for name, entry in header.tensors.items()
    ]
