"""The process that holds one loaded artifact: `python -m tvm_sparse.bench.worker FOLDER`.

It reads one JSON object per line from its standard input and answers each with one line on its
standard output. Arrays travel as .npz files. The protocol:

    {"do": "load", "artifact": DIR, "threads": N}     -> {"load_s": seconds}
    {"do": "bind", "inputs": FILE}                     -> {}
    {"do": "run", "outputs": FILE}                     -> {}
    {"do": "measure", "seconds": S, "drop": N, "max_iterations": N or null}
                                                       -> {"samples_ms": [...]}
    {"do": "profile", "repeats": N}                    -> {"calls": [...]}
    {"do": "memory"}                                   -> {"peak_memory_bytes": N}

A failure is answered with {"error": class name, "message": text}. The end of the input ends the
process and removes FOLDER, where the parent keeps the files: nothing outlives a killed parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from tvm_sparse.errors import BuildError, TvmSparseError
from tvm_sparse.runtime.measure import measure_latency

_PR_SET_PDEATHSIG = 1


class Worker:
    """Carries out the commands on the one model it has loaded."""

    def __init__(self) -> None:
        self._model: Any = None
        self._inputs: dict[str, np.ndarray[Any, Any]] = {}
        self._call: Callable[[], Any] | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one request."""
        arguments = dict(request)
        command = getattr(self, f"_do_{arguments.pop('do')}")
        answer: dict[str, Any] = command(**arguments)
        return answer

    def _do_load(self, artifact: str, threads: int) -> dict[str, Any]:
        from tvm_sparse.runtime.artifact import load

        start = time.perf_counter()
        self._model = load(artifact, threads)
        return {"load_s": time.perf_counter() - start}

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

    def _do_profile(self, repeats: int) -> dict[str, Any]:
        return {"calls": [asdict(call) for call in self._model.profile(self._inputs, repeats)]}

    def _do_memory(self) -> dict[str, Any]:
        # Not ru_maxrss: Linux lets a child start with what its parent had when it was forked.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return {"peak_memory_bytes": int(line.split()[1]) * 1024}
        raise BuildError("this system does not report the peak memory of a process (no VmHWM)")


def serve(worker: Worker, requests: TextIO, answers: TextIO) -> None:
    """Answer requests until their end."""
    for line in requests:
        try:
            answer = worker.answer(json.loads(line))
        except TvmSparseError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        except MemoryError:
            answer = {"error": "BuildError", "message": "the benchmark worker ran out of memory"}
        print(json.dumps(answer), file=answers, flush=True)


def _continue_without_parent() -> None:
    """Have the kernel continue this process when its parent dies.

    The parent stops it between requests; stopped, it would not see the end of its input.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)


def serve_parent(worker: Worker) -> None:
    """Serve the parent over standard input and output."""
    _continue_without_parent()
    # Whatever a library prints must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(worker, sys.stdin, answers)
    # Only a parent that is gone ends the input; one that lives reads stderr there.
    for folder in sys.argv[1:]:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Serve artifacts."""
    # tvm_ffi imports PyTorch when it is installed, for nothing that is used here: seconds of
    # start-up, and hundreds of megabytes in the peak memory that is reported.
    sys.modules["torch"] = None  # type: ignore[assignment]
    serve_parent(Worker())


if __name__ == "__main__":
    main()
