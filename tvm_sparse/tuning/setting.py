"""Where a build runs: what the times of its kernels depend on."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.runtime.tile_map import micro_batches
from tvm_sparse.words import counted


@dataclass(frozen=True, order=True)
class Setting:
    """An input shape and a number of threads.

    Of so many sequences of an inference, `micro_batch` go through the model together. `limits` are
    the largest batch and length of a build that takes any; None is a build for this shape alone.
    """

    seq_len: int
    batch: int
    threads: int
    micro_batch: int
    limits: tuple[int, int] | None = None

    @classmethod
    def of(cls, spec: ModelSpec, threads: int) -> Setting:
        """Return the setting of a model, on so many threads; of an open one the nominal shape."""
        batch, seq_len = spec.nominal
        if spec.is_open:
            return cls.open_at((batch, seq_len), threads, (spec.batch, spec.seq_len))
        return cls(seq_len, batch, threads, spec.micro_batch or batch)

    @classmethod
    def open_at(cls, shape: tuple[int, int], threads: int, limits: tuple[int, int]) -> Setting:
        """Return the setting of an open build at a shape (batch, seq_len)."""
        batch, seq_len = shape
        parts = micro_batches([seq_len] * batch, threads)
        largest = max(part.stop - part.start for part in parts)
        return cls(seq_len, batch, threads, largest, limits)

    @property
    def is_open(self) -> bool:
        """Whether the build takes other shapes too."""
        return self.limits is not None

    @property
    def passes(self) -> int:
        """How often an inference goes through the model."""
        return -(-self.batch // self.micro_batch)

    def __str__(self) -> str:
        tokens, threads = counted(self.seq_len, "token"), counted(self.threads, "thread")
        return f"batch {self.batch}, {tokens}, {threads}"
