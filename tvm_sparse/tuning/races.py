"""Races of rival tiles: from the cache, or run in one child process."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tvm_sparse.processes.child import Child
from tvm_sparse.progress import Progress
from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.tuning.kernel_job import KernelJob
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.timing_process import timing_process
from tvm_sparse.words import counted


@dataclass(frozen=True)
class RaceTimes:
    """What is kept of a race: the time of each rival in milliseconds."""

    latency_ms: tuple[float, ...]


class Races(contextlib.ExitStack):
    """Runs races; the process starts with the first, and ends with this context.

    Parameters
    ----------
    density : float
        Share of non-zero blocks, 0..1.
    threads : int
        Threads to run on.
    records, progress
        Keeps the times of every race as soon as it is run; receives one line a race.
    """

    def __init__(self, density: float, threads: int, records: Records, progress: Progress) -> None:
        super().__init__()
        self.density, self.threads = density, threads
        self._records, self._progress = records, progress
        self._child: Child | None = None

    def run(self, jobs: Sequence[KernelJob]) -> tuple[float, ...]:
        """Return the time of each job in milliseconds: one product with different tiles.

        Raises
        ------
        BuildError
            If the measuring process dies.
        """
        identity: dict[str, Any] = {
            "jobs": [asdict(job) for job in jobs],
            "density": self.density,
            "threads": self.threads,
            "code": code_fingerprint("race"),
        }
        found = self._records.load("race", identity, RaceTimes)
        if found is None:
            facts = jobs[0].kernel
            kind = "dense" if facts.kind == "packed_dense" else "{}x{}".format(*facts.block_shape)
            kind += f" {facts.dtype}" * (facts.dtype != "float32")
            tiles = counted(len(jobs), "tile")
            self._progress(f"trying {tiles} of {kind} {facts.units} x {facts.depth}")
            request = {"jobs": identity["jobs"], "density": self.density}
            found = RaceTimes(tuple(self._process().ask(request)))
            self._records.save("race", identity, found)
        return found.latency_ms

    def _process(self) -> Child:
        if self._child is None:
            self._child = self.enter_context(timing_process("race", self.threads))
        return self._child
