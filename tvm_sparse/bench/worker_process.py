"""A benchmark worker as its parent sees it: started, asked, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

import tvm_sparse
from tvm_sparse import errors
from tvm_sparse.bench.record import CallTime
from tvm_sparse.errors import BuildError

_STDERR_TAIL_LINES = 5

Arrays = Mapping[str, "np.ndarray[Any, Any]"]


class WorkerProcess:
    """An artifact loaded in a child process; a context manager that ends it.

    The process is stopped (SIGSTOP) whenever it is not carrying out a request.

    Parameters
    ----------
    artifact : str or path
        Directory of the artifact.
    threads : int
        Threads its kernels run on.
    """

    #: What the child runs; it speaks the protocol of `tvm_sparse.bench.worker`.
    _module = "tvm_sparse.bench.worker"

    def __init__(self, artifact: str | os.PathLike[str], threads: int) -> None:
        self.artifact = Path(artifact)
        self.load_s = 0.0
        self._folder = tempfile.TemporaryDirectory(prefix="tvm_sparse-bench-")
        self._stderr = Path(self._folder.name) / "stderr.txt"
        package_root = str(Path(tvm_sparse.__path__[0]).parent)
        python_path = os.environ.get("PYTHONPATH")
        environment = {
            **os.environ,
            **self._environment(threads),
            "PYTHONPATH": os.pathsep.join(filter(None, (package_root, python_path))),
        }
        try:
            with self._stderr.open("wb") as stderr:
                # A session of its own: Ctrl-C reaches the parent alone, which ends the workers.
                self._process = subprocess.Popen(
                    [sys.executable, "-m", self._module, self._folder.name],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=environment,
                    text=True,
                    start_new_session=True,
                )
        except OSError as error:
            self._folder.cleanup()
            raise BuildError(f"the benchmark worker cannot be started: {error}") from None
        try:
            answer = self._ask(do="load", **self._load_request(threads))
        except BaseException:
            self.close()
            raise
        self.load_s = float(answer["load_s"])

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

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
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # Closing flushes; there is nobody left to read it.
                with contextlib.suppress(OSError):
                    pipe.close()
        self._folder.cleanup()

    def bind(self, inputs: Arrays) -> None:
        """Give the model the inputs that the other methods use.

        Raises
        ------
        InputError
            If they do not fit the model.
        BuildError
            If the worker died.
        """
        path = Path(self._folder.name) / "inputs.npz"
        np.savez(path, **inputs)  # type: ignore[arg-type]
        self._ask(do="bind", inputs=str(path))

    def run(self) -> dict[str, np.ndarray[Any, Any]]:
        """Run once and return the outputs by name.

        Raises
        ------
        BuildError
            If the worker died.
        """
        path = Path(self._folder.name) / "outputs.npz"
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

    def profile(self, repeats: int) -> tuple[CallTime, ...]:
        """Return the median time of every kernel call over `repeats` runs.

        Raises
        ------
        ArtifactError
            If the metadata lists other kernel calls than are made.
        BuildError
            If the worker died.
        """
        return tuple(CallTime(**call) for call in self._ask(do="profile", repeats=repeats)["calls"])

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
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        self._signal(signal.SIGCONT)
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            raise self._death()
        # Threads of most engines look for work for a while after they have done some. Until this
        # worker is asked again, the cores belong to the others.
        self._signal(signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["error"], BuildError)
            raise kind(answer["message"])
        return answer

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker and the processes it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _death(self) -> BuildError:
        """Describe how the worker ended."""
        code = self._process.wait()
        how = f"ended with code {code}"
        if code < 0:
            how = f"was ended by {signal.strsignal(-code) or 'an unknown signal'}"
        if code == -signal.SIGKILL:
            how += " (out of memory?)"
        lines = self._stderr.read_text(errors="replace").splitlines()
        tail = " | ".join([line.strip() for line in lines if line.strip()][-_STDERR_TAIL_LINES:])
        said = f"; its last words: {tail}" if tail else ""
        return BuildError(f"the benchmark worker for {self.artifact} {how}{said}")
