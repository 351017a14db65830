"""Measuring happens in a child process: both ends of talking to it, one JSON object a line.

A process of its own, because the number of threads of TVM's pool is decided once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tvm_sparse
from tvm_sparse.errors import BuildError

_STDERR_TAIL_LINES = 5

Answer = Callable[[dict[str, Any]], None]


def ask(
    module: str, request: Mapping[str, Any], threads: int, expected: int
) -> Iterator[dict[str, Any]]:
    """Start the measuring process of a module and yield its answers as they come.

    Parameters
    ----------
    module : str
        Its `main` calls `serve_parent`.
    request : mapping
        JSON-ready.
    threads : int
        Threads of the kernels it runs.
    expected : int
        How many answers there will be.

    Raises
    ------
    BuildError
        If the process dies or answers less.
    """
    with tempfile.TemporaryFile("w+") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_environment(threads),
            text=True,
            start_new_session=True,
        )
        assert child.stdin is not None  # PIPE was asked for
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(request) + "\n")
            child.stdin.close()
            for line in child.stdout:
                expected -= 1
                yield json.loads(line)
            if child.wait() or expected:
                stderr.seek(0)
                raise _death(child.returncode, stderr.read())
        except (BrokenPipeError, ValueError):
            child.wait()
            stderr.seek(0)
            raise _death(child.returncode, stderr.read()) from None
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            child.stdout.close()


def serve_parent(serve: Callable[[dict[str, Any], Answer], None]) -> None:
    """Carry out the parent's request, in the child.

    Parameters
    ----------
    serve : callable
        Receives the request, and what writes an answer.
    """
    # Whatever a library prints must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(
        json.loads(sys.stdin.readline()),
        lambda document: print(json.dumps(document), file=answers, flush=True),
    )


def _environment(threads: int) -> dict[str, str]:
    root = str(Path(tvm_sparse.__path__[0]).parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "TVM_NUM_THREADS": str(threads),
        # As in the benchmark's workers, whose builds the kernels stand for.
        "TVM_BIND_THREADS": "0",
    }


def _death(code: int, stderr: str) -> BuildError:
    how = f"ended with code {code}"
    if code < 0:
        how = f"was ended by {signal.strsignal(-code) or 'an unknown signal'}"
        how += " (out of memory?)" if code == -signal.SIGKILL else ""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    tail = " | ".join(lines[-_STDERR_TAIL_LINES:])
    said = f"; its last words: {tail}" if tail else ""
    return BuildError(f"the process that times kernels {how}{said}")
