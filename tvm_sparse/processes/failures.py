"""What goes wrong in a child process, told so that its parent can raise it."""

from __future__ import annotations

import errno
import os
import re
import signal
import traceback
from collections.abc import Mapping
from typing import Any

from tvm_sparse import errors
from tvm_sparse.errors import BuildError, TvmSparseError, UnsupportedOpError
from tvm_sparse.processes.memory import is_lack_of_memory, memory_limit

_MOST_CHARACTERS = 500
_STDERR_TAIL_LINES = 5
# What TensorFlow writes at every start, before it reads its log level.
_LIBRARY_NOISE = re.compile(r"[IW]\d{4} |WARNING: All log messages before absl")


class ChildTraceback(Exception):
    """Where in a child process an error came from: the cause of the one raised in the parent."""


def describe(error: Exception) -> dict[str, Any]:
    """Return an error as a JSON-ready object that `revive` makes an error of."""
    return {**_identity(error), "traceback": "".join(traceback.format_exception(error))}


def _identity(error: Exception) -> dict[str, Any]:
    if isinstance(error, UnsupportedOpError):
        return {"unsupported": error.unsupported, "framework": error.framework}
    if isinstance(error, TvmSparseError):
        return {"class": type(error).__name__, "message": str(error)}
    if is_lack_of_memory(error):
        return {"how": f"ran out of memory{memory_limit()}"}
    # safetensors reports a full disk in words only.
    full = errno.ENOSPC if "No space left" in str(error) else None
    code = full or (error.errno if isinstance(error, OSError) else None)
    if code is not None:
        filename = getattr(error, "filename", None)
        return {"errno": code, "filename": filename and str(filename)}
    text = " ".join(str(error).split())[:_MOST_CHARACTERS]
    return {"how": f"failed in a way that should not happen: {type(error).__name__}: {text}"}


def revive(failure: Mapping[str, Any], purpose: str) -> Exception:
    """Return the error that `describe` was given, or a BuildError for one that nobody foresaw.

    Its cause is the traceback in the child.

    Parameters
    ----------
    failure : mapping
        From `describe`.
    purpose : str
        What the process does: "the process that ...".
    """
    error = _error(failure, purpose)
    error.__cause__ = ChildTraceback(f"\n{failure['traceback']}")
    return error


def _error(failure: Mapping[str, Any], purpose: str) -> Exception:
    if "unsupported" in failure:
        pairs = ((op, node) for op, node in failure["unsupported"])
        return UnsupportedOpError(pairs, failure["framework"])
    if "class" in failure:
        error_class: type[TvmSparseError] = getattr(errors, failure["class"])
        return error_class(failure["message"])
    if "errno" in failure:
        return OSError(failure["errno"], os.strerror(failure["errno"]), failure["filename"])
    return BuildError(f"the process that {purpose} {failure['how']}")


def death(status: int, stderr: str, purpose: str) -> BuildError:
    """Return the error of a process that ended before it answered.

    Parameters
    ----------
    status : int
        As `subprocess` gives it: below 0 for a signal.
    stderr : str
        What it wrote there.
    purpose : str
        What it does: "the process that ...".
    """
    how = f"ended with status {status}"
    if status < 0:
        how = f"was ended by {_signal_name(-status)}"
        how += " (often a lack of memory)" if -status == signal.SIGKILL else ""
    lines = (line.strip() for line in stderr.splitlines())
    tail = [line for line in lines if line and not _LIBRARY_NOISE.match(line)][-_STDERR_TAIL_LINES:]
    said = f"; it said: {' | '.join(tail)}" if tail else ""
    return BuildError(f"the process that {purpose} {how}{said}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has none
        return f"signal {number}"
