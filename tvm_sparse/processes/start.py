"""Start a process that never outlives the one that starts it, not even one that is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import tvm_sparse

#: Values of environment variables; None leaves one out that this process has.
Environment = Mapping[str, str | None]


def start(
    module: str,
    connection: socket.socket,
    stack: contextlib.ExitStack,
    environment: Environment | None = None,
    stderr: IO[Any] | None = None,
    kept: Sequence[socket.socket] = (),
) -> subprocess.Popen[bytes]:
    """Start `python -m MODULE FD...` in a session of its own.

    Parameters
    ----------
    module : str
        What it runs.
    connection : socket
        What it gets, as a number; closed here.
    stack : ExitStack
        The process and its group are killed when it is closed, or this process ends.
    environment : mapping of str to str or None, optional
        Changes to the environment of this process, which it gets.
    stderr : file, optional
        Its standard error; that of this process by default.
    kept : sequence of socket
        What it gets as well, and this process keeps.

    Raises
    ------
    OSError
        It cannot be started.
    """
    with connection:
        # Its other end stays open as long as this process lives and wants the child to.
        lifeline, _ = (stack.enter_context(os.fdopen(fd)) for fd in os.pipe())
        given = [one.fileno() for one in (connection, *kept)]
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, given)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=(*given, lifeline.fileno()),
            env=_environment(environment or {}),
            start_new_session=True,
        )
        _kill_at_end(lifeline.fileno(), process.pid)
        lifeline.close()
    return process


def _kill_at_end(pipe: int, group: int) -> None:
    """Have the kernel kill a process group when a pipe loses its writer, this process.

    That ends processes which are starting, stopped or deep in C code, too. It holds as long as one
    of them has the pipe open, whether it knows of it or not. Should this process be killed before
    it gets here, the child finds nobody to answer to. (PR_SET_PDEATHSIG would also be told of the
    end of the *thread* that started the child, and ends the child alone.)

    Parameters
    ----------
    pipe : int
        Its reading end, on which nothing ever arrives.
    group : int
        Its number.
    """
    fcntl.fcntl(pipe, fcntl.F_SETOWN, -group)
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def _environment(changes: Environment) -> dict[str, str]:
    """Return the environment of a child, which must find the package that this process runs."""
    merged = {**os.environ, **changes}
    root = str(Path(tvm_sparse.__path__[0]).parent)
    merged["PYTHONPATH"] = os.pathsep.join(filter(None, (root, merged.get("PYTHONPATH"))))
    return {name: value for name, value in merged.items() if value is not None}
