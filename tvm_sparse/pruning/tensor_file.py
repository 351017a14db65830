"""Change tensors of a safetensors file in place, leaving every other byte as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvm_sparse.errors import CheckpointError
from tvm_sparse.records.safetensors_header import read_header

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


@dataclass(frozen=True)
class StoredTensor:
    """Where a floating-point tensor lies in a file, with name and dtype as its header has them."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def read(self) -> np.ndarray:
        """Return the values as float32 (float64 for F64)."""
        raw = np.fromfile(
            self.path, self._stored_dtype, int(np.prod(self.shape)), offset=self.offset
        ).reshape(self.shape)
        if self.dtype == "BF16":
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw if self.dtype == "F64" else raw.astype(np.float32)

    def write(self, values: np.ndarray, path: Path) -> None:
        """Write other values over the tensor in `path`, a copy of its file.

        Raises CheckpointError if a value is too large for the file's dtype.
        """
        if self.dtype == "BF16":
            bits = values.astype(np.float32).view(np.uint32)
            # To nearest, ties to even.
            raw = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
        else:
            with np.errstate(over="ignore"):
                raw = values.astype(self._stored_dtype)
            if not np.isfinite(raw).all():
                raise CheckpointError(
                    f"{self.name}: a pruned weight does not fit {self.dtype}; save the checkpoint "
                    "as float32 first"
                )
        with path.open("r+b") as file:
            file.seek(self.offset)
            file.write(np.ascontiguousarray(raw).tobytes())

    @property
    def _stored_dtype(self) -> str:
        return "<u2" if self.dtype == "BF16" else _DTYPES[self.dtype]


def stored_tensors(path: Path) -> list[StoredTensor]:
    """List the floating-point tensors of a safetensors file; CheckpointError if it is damaged."""
    header = read_header(path)
    return [
        StoredTensor(
            path, name, entry.dtype, entry.shape, header.data_start + entry.data_offsets[0]
        )
        for name, entry in header.tensors.items()
        if entry.dtype in (*_DTYPES, "BF16")
    ]
