"""Locks between processes that end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from tvm_sparse.errors import CacheError
from tvm_sparse.progress import Progress, silent

POLL_S = 0.05


@contextmanager
def hold(
    path: Path, label: str, on_wait: Progress = silent, timeout_s: float | None = None
) -> Iterator[None]:
    """Hold the lock file `path`; it exists only while somebody does. Not reentrant.

    `label` says in messages what is locked. When there is a wait, `on_wait` is called once, with a
    line that says who holds the lock; without a `timeout_s` it takes as long as it takes.

    Raises
    ------
    OSError
        The file cannot be written.
    CacheError
        `timeout_s` passed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    handle: int | None = None
    try:
        handle = _try_lock(path)
        if handle is None:
            on_wait(f"waiting for {label}: {_holder(path)} is working on it")
        while handle is None:
            if timeout_s is not None and time.monotonic() - started > timeout_s:
                raise CacheError(
                    f"gave up on {label} after {timeout_s:g} s: {_holder(path)} is working on it; "
                    "wait for it or end it"
                )
            time.sleep(POLL_S)
            handle = _try_lock(path)
        yield
    finally:
        if handle is not None:
            # Removed while still held; `_try_lock` notices a file that lost its name.
            with suppress(OSError):
                path.unlink()
            os.close(handle)


def _try_lock(path: Path) -> int | None:
    """Lock `path` and write who we are into it; None when somebody else holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The last holder may have removed the file between our open and our flock.
        if not _is_named(handle, path):
            raise BlockingIOError
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": shlex.join(sys.argv),
            "since": datetime.now().strftime("%H:%M:%S"),
        }
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(holder).encode())
    except (BlockingIOError, FileNotFoundError):
        os.close(handle)
        return None
    except BaseException:  # Ctrl-C, too: a file that nobody will hold must not stay
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_named(handle, path):
                path.unlink()
        os.close(handle)
        raise
    return handle


def _is_named(handle: int, path: Path) -> bool:
    """Tell whether a path still leads to an open file."""
    return os.fstat(handle).st_ino == path.stat().st_ino


def _holder(path: Path) -> str:
    try:
        who = json.loads(path.read_text())
        return f"process {who['pid']} on {who['host']} ({who['command']}, since {who['since']})"
    except (OSError, ValueError, KeyError):
        return "another process"
