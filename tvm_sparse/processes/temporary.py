"""Temporary directories that do not outlive their process for long, even when it is killed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tvm_sparse.processes.ownership import is_owned, own_directory

#: How their names begin.
PREFIX = "tvm_sparse-tmp-"
#: What `tempfile` makes of the prefix; nothing else may be taken for one of ours.
_NAME = re.compile(rf"(\..+\.)?{PREFIX}[a-z0-9_]{{8}}")
#: One this young may be about to be marked as in use.
_LEAST_AGE_S = 60.0


@contextlib.contextmanager
def temporary_directory(beside: Path | None = None) -> Iterator[Path]:
    """Make a directory that is removed with all it holds at the end of the block.

    Those that killed processes have left in the same place go, too.

    Parameters
    ----------
    beside : Path, optional
        Make it next to this path, hidden, and not where temporary files are.

    Raises
    ------
    OSError
        There is no place for temporary files.
    """
    if beside is None:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
    else:
        path = Path(tempfile.mkdtemp(prefix=f".{beside.name}.{PREFIX}", dir=beside.parent))
    try:
        _sweep(path.parent)
        with _in_use(path):
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _in_use(path: Path) -> Iterator[None]:
    try:
        handle = own_directory(path)
    except OSError:  # a file system without locks, where nothing is swept either
        yield
        return
    try:
        yield
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Remove what dead processes have left."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and _is_left_over(entry):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_left_over(entry: os.DirEntry[str]) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:  # gone meanwhile
        return False
    mine_and_old = status.st_uid == os.getuid() and time.time() - status.st_mtime > _LEAST_AGE_S
    return mine_and_old and not is_owned(Path(entry.path))
