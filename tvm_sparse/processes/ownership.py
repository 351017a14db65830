"""Directories in use by a living process: marked by a lock that ends with it, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def own_directory(path: Path) -> int:
    """Mark an existing directory as in use until the returned descriptor is closed.

    Raises
    ------
    OSError
        It cannot be opened or locked, BlockingIOError if it is in use.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def is_owned(path: Path) -> bool:
    """Return whether a living process has marked the directory `path` as in use."""
    try:
        os.close(own_directory(path))
    except OSError:
        return True
    return False
