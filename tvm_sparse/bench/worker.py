"""The process that holds one loaded artifact.

Arrays travel as .npz files. Requests and results:

    {"do": "load", "artifact": DIR, "threads": N}     {"load_s": seconds}
    {"do": "bind", "inputs": FILE}                     {}
    {"do": "run", "outputs": FILE}                     {}
    {"do": "measure", "seconds": S, "drop": N, "max_iterations": N or null}
                                                       {"samples_ms": [...]}
    {"do": "stream", "streams": N, "threads": T}       {}
    {"do": "saturate", "seconds": S, "drop": N, "max_iterations": N or null}
                                                       {"samples_ms": [[...] of each stream]}
    {"do": "profile", "repeats": N}                    {"calls": [...]}
    {"do": "memory"}                                   {"peak_memory_bytes": N}
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.errors import BuildError
from tvm_sparse.processes.serve import Report, serve
from tvm_sparse.progress import silent
from tvm_sparse.runtime.measure import measure_latency
from tvm_sparse.runtime.streams import Streams, core_shares


class Worker:
    """Carries out the commands on the one model it has loaded."""

    def __init__(self) -> None:
        self._model: Any = None
        self._inputs: dict[str, np.ndarray[Any, Any]] = {}
        self._call: Callable[[], Any] | None = None
        self._streams: Streams | None = None

    def answer(self, request: dict[str, Any], report: Report = silent) -> Any:
        """Carry out one request and return its result."""
        arguments = dict(request)
        command = getattr(self, f"_do_{arguments.pop('do')}")
        return command(**arguments)

    def _do_load(self, artifact: str, threads: int) -> dict[str, Any]:
        from tvm_sparse.runtime.artifact import load
        from tvm_sparse.runtime.crew import own_threads

        start = time.perf_counter()
        # Ids are made for the model; what is measured is the model alone.
        self._model = load(artifact, threads, check_ids=False)
        load_s = time.perf_counter() - start
        # Only now: a standalone artifact brings TVM's runtime library.
        own_threads(threads)
        return {"load_s": load_s}

    def _do_bind(self, inputs: str) -> dict[str, Any]:
        with np.load(inputs, allow_pickle=False) as arrays:
            self._inputs = {name: arrays[name] for name in arrays.files}
        self._call = self._model.bind(self._inputs)
        return {}

    def _do_run(self, outputs: str) -> dict[str, Any]:
        # Written through a stream: given a name, numpy would append .npz to it.
        with open(outputs, "wb") as stream:
            np.savez(stream, **self._model.run(**self._inputs))
        return {}

    def _do_measure(self, seconds: float, drop: int, max_iterations: int | None) -> dict[str, Any]:
        assert self._call is not None, "bind comes first"
        return {
            "samples_ms": measure_latency(
                self._call, seconds, drop=drop, max_iterations=max_iterations
            )
        }

    def _do_stream(self, streams: int, threads: int) -> dict[str, Any]:
        make = functools.partial(self._make_stream, threads)
        self._streams = Streams(make, core_shares(streams, threads))
        return {}

    def _make_stream(self, threads: int) -> Callable[[], Any]:
        """Return what a stream runs, in its thread: a pool of its own, and the one model."""
        from tvm_sparse.runtime.crew import own_threads

        own_threads(threads)
        return self._model.bind(self._inputs)  # type: ignore[no-any-return]

    def _do_saturate(self, seconds: float, drop: int, max_iterations: int | None) -> dict[str, Any]:
        assert self._streams is not None, "stream comes first"
        return {"samples_ms": self._streams.saturate(seconds, drop, max_iterations)}

    def _do_profile(self, repeats: int) -> dict[str, Any]:
        return {"calls": [asdict(call) for call in self._model.profile(self._inputs, repeats)]}

    def _do_memory(self) -> dict[str, Any]:
        # Not ru_maxrss: Linux lets a child start with what its parent had when it was forked.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return {"peak_memory_bytes": int(line.split()[1]) * 1024}
        raise BuildError("this system does not report the peak memory of a process (no VmHWM)")


def main() -> None:
    """Serve artifacts."""
    # tvm_ffi imports PyTorch when it is installed, for nothing that is used here: seconds of
    # start-up, and hundreds of megabytes in the peak memory that is reported.
    sys.modules["torch"] = None  # type: ignore[assignment]
    serve(Worker().answer)


if __name__ == "__main__":
    main()
