"""The parent's side of a worker process: start it, show its progress, raise its errors."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tvm_sparse import errors
from tvm_sparse.config import ModelSpec
from tvm_sparse.progress import Progress
from tvm_sparse.sources.source import ModelSource

_STDERR_TAIL_LINES = 5
# What TensorFlow writes at every start, before it reads its log level.
_LIBRARY_NOISE = re.compile(r"[IW]\d{4} |WARNING: All log messages before absl")

log = logging.getLogger(__name__)


def run_worker(
    spec: ModelSpec, source: ModelSource, directory: Path, progress: Progress
) -> dict[str, Any]:
    """Import a model in a child process that fills `directory`; return the module's signature.

    The child dies with this process and on any exception here, an interrupt included.

    Raises
    ------
    TvmSparseError
        What the child raised, of the same class.
    BuildError
        The child died or failed in a way nobody foresaw.
    OSError
        The child could not write.
    """
    request = {
        "spec": spec.to_json(),
        "source": source.to_json(),
        "directory": str(directory),
    }
    return run_child("tvm_sparse.importers.worker", "imports the model", request, progress)


def run_child(
    module: str, purpose: str, request: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """Have a child process of the importer serve one request; return the facts it reports.

    The child dies with this process and on any exception here, an interrupt included.

    Parameters
    ----------
    module : str
        What the child runs; it calls `worker.serve`.
    purpose : str
        What the child does, for a message about its death: "the process that ...".
    request : dict
        JSON-ready.
    progress : callable
        Receives one line per step.

    Raises
    ------
    TvmSparseError
        What the child raised, of the same class.
    BuildError
        The child died or failed in a way nobody foresaw.
    OSError
        The child could not write.
    """
    result: dict[str, Any] = {}
    read_fd, write_fd = os.pipe()
    with tempfile.TemporaryFile() as stderr, os.fdopen(read_fd, encoding="utf-8") as events:
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", module, str(write_fd)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=(write_fd,),
                env=_child_environment(),
                # Out of reach of the terminal's Ctrl-C: this process decides when it ends.
                start_new_session=True,
                text=True,
            )
        finally:
            os.close(write_fd)
        try:
            assert child.stdin is not None  # PIPE was asked for
            _write_request(child.stdin, request)
            for line in events:
                event = json.loads(line)
                if event["event"] == "progress":
                    progress(event["line"])
                else:
                    result = event
            status = child.wait()
        finally:
            _kill(child)
        if result.get("event") == "done":
            return result["facts"]
        stderr.seek(0)
        text = stderr.read().decode(errors="replace")
    log.debug("%s ended with status %s: %s", module, status, text)
    raise _failure(result, status, text, purpose)


def _write_request(stdin: Any, request: dict[str, Any]) -> None:
    try:
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
    except BrokenPipeError:
        log.debug("the worker died before it read its request")  # its status says how


def _kill(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.kill()
        child.wait()
    if child.stdin is not None:
        try:
            child.stdin.close()
        except BrokenPipeError:
            log.debug("the worker left its request unread")


def _failure(result: dict[str, Any], status: int, stderr: str, purpose: str) -> Exception:
    """Turn the worker's last event, or its death, into the exception to raise."""
    event = result.get("event")
    if event == "error" and result["error"] == "UnsupportedOpError":
        return errors.UnsupportedOpError((op, node) for op, node in result["unsupported"])
    if event == "error":
        error_class: type[Exception] = getattr(errors, result["error"])
        return error_class(result["message"])
    if event == "os_error":
        code = result["errno"]
        return OSError(code, os.strerror(code), result["filename"])
    if event == "crash":
        return errors.BuildError(
            f"the process that {purpose} failed in a way that should not happen: "
            f"{result['message']}"
        )
    how = f"ended with status {status}"
    if status < 0:
        how = f"was ended by {signal.Signals(-status).name}"
        how += " (often a lack of memory)" if -status == signal.SIGKILL else ""
    lines = (line.strip() for line in stderr.splitlines())
    tail = [line for line in lines if line and not _LIBRARY_NOISE.match(line)][-_STDERR_TAIL_LINES:]
    said = f"; it said: {' | '.join(tail)}" if tail else ""
    return errors.BuildError(f"the process that {purpose} {how}{said}")


def _child_environment() -> dict[str, str]:
    """Return the environment of the worker, which must find the package this process runs."""
    root = str(Path(errors.__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    # Set by a parent that runs models, but the importer builds modules with the whole library.
    environment.pop("TVM_USE_RUNTIME_LIB", None)
    # Whatever is to be fetched is on disk already; no library shall ask the network again.
    environment["HF_HUB_OFFLINE"] = "1"
    return environment
