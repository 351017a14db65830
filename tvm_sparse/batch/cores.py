"""Cores of this machine that a process has to itself, among processes of ours."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path


class Cores:
    """Cores that are taken as long as this object lives.

    Attributes
    ----------
    numbers : tuple of int
        Which.
    """

    def __init__(self, locks: dict[int, int]) -> None:
        self._locks = locks
        self.numbers = tuple(locks)

    def __del__(self) -> None:
        for lock in self._locks.values():
            os.close(lock)


def pin_to_cores(count: int, folder: Path | None = None) -> Cores | None:
    """Run this process on cores that no other process has taken here.

    A core is taken by a lock on a file of its number, which ends with the process, however that
    ends.

    Parameters
    ----------
    count : int
        How many.
    folder : Path or None
        Holds the files; by default one of this user's among temporary files.

    Returns
    -------
    Cores or None
        None where there are not so many left: the system chooses then.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    root = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())
    folder = folder or root / f"tvm_sparse-cores-{os.getuid()}"
    taken: dict[int, int] = {}
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for core in sorted(os.sched_getaffinity(0)):
            lock = os.open(folder / str(core), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            taken[core] = lock
            if len(taken) == count:
                for thread in os.listdir("/proc/self/task"):
                    os.sched_setaffinity(int(thread), taken)
                return Cores(taken)
    except OSError:  # no place for files, or a file system without locks
        pass
    for lock in taken.values():
        os.close(lock)
    return None
