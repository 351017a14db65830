"""The process that holds one model in another engine.

It takes the requests of `tvm_sparse.bench.worker`, with these differences:

    {"do": "load", "module": M, "name": N, "directory": DIR, "threads": N}
                                                       {"load_s": seconds}
    {"do": "load", "module": M, "directory": DIR, "prepare": true}
                                                       {"load_s": seconds}
    {"do": "facts"}                                    {"facts": {...}}
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tvm_sparse.bench.peers.engine import load_peer, prepare_peer
from tvm_sparse.bench.worker import Worker
from tvm_sparse.processes.serve import serve


class PeerWorker(Worker):
    """Carries out the commands on the model of another engine."""

    def __init__(self) -> None:
        super().__init__()
        self._source: tuple[str, Path, str] | None = None

    def _do_load(  # type: ignore[override]  # the protocol's `load` differs
        self, module: str, directory: str, name: str = "", threads: int = 1, prepare: bool = False
    ) -> dict[str, Any]:
        start = time.perf_counter()
        if prepare:
            prepare_peer(module, Path(directory))
        else:
            self._source = module, Path(directory), name
            self._model = load_peer(module, Path(directory), threads, name)
        return {"load_s": time.perf_counter() - start}

    def _make_stream(self, threads: int) -> Callable[[], Any]:
        """Return what a stream runs: a model of its own, whose threads start on its cores."""
        assert self._source is not None, "load comes first"
        module, directory, name = self._source
        return load_peer(module, directory, threads, name).bind(self._inputs)

    def _do_facts(self) -> dict[str, Any]:
        return {"facts": self._model.facts}


if __name__ == "__main__":
    serve(PeerWorker().answer)
