"""A benchmark worker as its parent sees it: started, asked, ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from tvm_sparse.errors import BuildError
from tvm_sparse.processes.child import Child
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.records.read import check_record
from tvm_sparse.runtime.metadata import CallTime

Arrays = Mapping[str, "np.ndarray[Any, Any]"]


class WorkerProcess:
    """An artifact loaded in a child process; a context manager that ends it.

    The process is stopped whenever it is not carrying out a request: threads of most engines look
    for work for a while after they have done some, and the cores belong to the others then.

    Parameters
    ----------
    artifact : str or path
        Directory of the artifact.
    threads : int
        Threads its kernels run on.

    Raises
    ------
    ArtifactError, BuildError
        It does not load, or the worker died.
    """

    #: What the child runs; it takes the requests of `tvm_sparse.bench.worker`.
    _module = "tvm_sparse.bench.worker"

    def __init__(self, artifact: str | os.PathLike[str], threads: int) -> None:
        self.artifact = Path(artifact)
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(temporary_directory())
            purpose, environment = f"runs {self.artifact}", self._environment(threads)
            child = Child(self._module, purpose, environment, rests=True)
            self._child = stack.enter_context(child)
            self.load_s = float(self._ask(do="load", **self._load_request(threads))["load_s"])
            self._open = stack.pop_all()

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._child.pid

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; safe to call twice."""
        self._open.close()

    def bind(self, inputs: Arrays) -> None:
        """Give the model the inputs that the other methods use.

        Raises
        ------
        InputError
            If they do not fit the model.
        BuildError
            If the worker died.
        """
        path = self._folder / "inputs.npz"
        np.savez(path, **inputs)  # type: ignore[arg-type]
        self._ask(do="bind", inputs=str(path))

    def run(self) -> dict[str, np.ndarray[Any, Any]]:
        """Run once and return the outputs by name.

        Raises
        ------
        BuildError
            If the worker died.
        """
        path = self._folder / "outputs.npz"
        self._ask(do="run", outputs=str(path))
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def measure(
        self, seconds: float, drop: int = 0, max_iterations: int | None = None
    ) -> list[float]:
        """Return latency samples in milliseconds, see `runtime.measure.measure_latency`.

        Raises
        ------
        BuildError
            If the worker died.
        """
        answer = self._ask(do="measure", seconds=seconds, drop=drop, max_iterations=max_iterations)
        return list(answer["samples_ms"])

    def stream(self, streams: int, threads: int) -> None:
        """Start streams that run the inputs, each on `threads` cores of its own.

        Raises
        ------
        BuildError
            If the worker died.
        """
        self._ask(do="stream", streams=streams, threads=threads)

    def saturate(
        self, seconds: float, drop: int = 0, max_iterations: int | None = None
    ) -> list[list[float]]:
        """Return latency samples of each stream in milliseconds, all of them kept busy.

        Raises
        ------
        BuildError
            If the worker died.
        """
        answer = self._ask(do="saturate", seconds=seconds, drop=drop, max_iterations=max_iterations)
        return [list(samples) for samples in answer["samples_ms"]]

    def profile(self, repeats: int) -> tuple[CallTime, ...]:
        """Return the median time of every kernel call over `repeats` runs.

        Raises
        ------
        ArtifactError
            If the metadata lists other kernel calls than are made.
        BuildError
            If the worker died.
        """
        calls = self._ask(do="profile", repeats=repeats)["calls"]
        return tuple(check_record(call, CallTime, "a call", BuildError) for call in calls)

    def peak_memory_bytes(self) -> int:
        """Return the largest resident memory of the worker so far.

        Raises
        ------
        BuildError
            If the worker died.
        """
        return int(self._ask(do="memory")["peak_memory_bytes"])

    def _environment(self, threads: int) -> dict[str, str]:
        return {
            "TVM_USE_RUNTIME_LIB": "1",
            "TVM_NUM_THREADS": str(threads),
            # Two workers pinned to the same cores would wait for each other.
            "TVM_BIND_THREADS": "0",
        }

    def _load_request(self, threads: int) -> dict[str, Any]:
        return {"artifact": str(self.artifact.resolve()), "threads": threads}

    def _ask(self, **request: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._child.ask(request)
        return result
