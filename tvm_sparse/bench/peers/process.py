"""Another engine's worker as its parent sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tvm_sparse.bench.worker_process import WorkerProcess


class PeerProcess(WorkerProcess):
    """A checkpoint loaded by another engine in a child process.

    Parameters
    ----------
    module, name
        Module of this room that loads it, and the engine's name, for modules that serve several.
    directory : Path
        Checkpoint, or another directory that module reads.
    threads : int
        Threads the engine may use.
    prepare : bool
        Only run the module's `prepare`; there is nothing to ask the worker afterwards.
    """

    _module = "tvm_sparse.bench.peers.worker"

    def __init__(
        self, module: str, directory: Path, threads: int, name: str = "", prepare: bool = False
    ) -> None:
        self._request = {"module": module, "name": name, "prepare": prepare}
        super().__init__(directory, threads)

    def facts(self) -> dict[str, Any]:
        """Return how the model runs, as its engine tells; BuildError if the worker died."""
        facts: dict[str, Any] = self._ask(do="facts")["facts"]
        return facts

    def _load_request(self, threads: int) -> dict[str, Any]:
        return {**self._request, "directory": str(self.artifact.resolve()), "threads": threads}

    def _environment(self, threads: int) -> dict[str, str]:
        # OpenMP and MKL read these when they are loaded; the engines' own settings follow.
        pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TVM_NUM_THREADS")
        return {
            **dict.fromkeys(pools, str(threads)),
            "TVM_BIND_THREADS": "0",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
            "CUDA_VISIBLE_DEVICES": "-1",
        }
