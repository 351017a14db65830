"""Where a build runs: what the times of its kernels depend on."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_sparse.config import ModelSpec
from tvm_sparse.words import counted


@dataclass(frozen=True, order=True)
class Setting:
    """An input shape and a number of threads.

    Of so many sequences of an inference, `micro_batch` go through the model together.
    """

    seq_len: int
    batch: int
    threads: int
    micro_batch: int

    @classmethod
    def of(cls, spec: ModelSpec, threads: int) -> Setting:
        """Return the setting of a model, on so many threads; of an open one the nominal shape."""
        batch, seq_len = spec.nominal
        return cls(seq_len, batch, threads, batch if spec.is_open else spec.micro_batch or batch)

    def __str__(self) -> str:
        tokens, threads = counted(self.seq_len, "token"), counted(self.threads, "thread")
        return f"batch {self.batch}, {tokens}, {threads}"
