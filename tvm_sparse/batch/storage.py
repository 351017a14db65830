"""Where inputs and outputs are: a path of this machine, or an address such as s3://bucket/key."""

from __future__ import annotations

import fnmatch
import glob
import os
from typing import Any

from tvm_sparse.errors import InputError

_WILDCARDS = "*?["


def open_storage(address: str) -> tuple[Any, str]:
    """Return a file system of pyarrow's, and the path in it.

    Raises
    ------
    InputError
        There is none of that kind, or it cannot be reached.
    """
    import pyarrow
    from pyarrow import fs

    if not is_remote(address):
        return fs.LocalFileSystem(), os.path.abspath(address)
    try:
        system, path = fs.FileSystem.from_uri(address)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{address} cannot be reached: {first_line(error)}") from None
    return system, path


def is_remote(address: str) -> bool:
    """Tell whether an address names a file system besides this machine's."""
    return "://" in address


def join(address: str, name: str) -> str:
    """Return the address of a file in a directory."""
    return f"{address.rstrip('/')}/{name}"


def expand(address: str) -> list[tuple[str, int, bool]]:
    """Return the files that an address stands for: itself, those of a directory, or of a pattern.

    Parameters
    ----------
    address : str
        `*`, `?` and `[...]` are as a shell has them, `**` is any number of directories.

    Returns
    -------
    list of tuple
        Address, bytes, and whether the file was named by itself; in alphabetical order. Hidden
        files of directories are left out.

    Raises
    ------
    InputError
        There are none.
    """
    if not is_remote(address) and any(sign in address for sign in _WILDCARDS):
        paths = [path for path in glob.glob(address, recursive=True) if os.path.isfile(path)]
        found = [(path, os.path.getsize(path), True) for path in paths]
    else:
        found = _listed(address)
    if not found:
        raise InputError(f"{address} given: there are no files there")
    return sorted(found)


def first_line(error: BaseException) -> str:
    """Return what an error of a library says, in one line of bounded length."""
    return " ".join(str(error).split())[:200]


def _listed(address: str) -> list[tuple[str, int, bool]]:
    """Return the file, or those of a directory, or of a pattern in another file system."""
    from pyarrow import fs

    pattern = ""
    folder = address
    if is_remote(address) and any(sign in address for sign in _WILDCARDS):
        first = min(address.find(sign) for sign in _WILDCARDS if sign in address)
        folder, pattern = address[:first].rpartition("/")[0], address
    system, path = open_storage(folder)
    try:
        info = system.get_file_info(path)
        if info.type == fs.FileType.File:
            return [(address, info.size, True)]
        if info.type == fs.FileType.NotFound:
            return []
        entries = system.get_file_info(fs.FileSelector(path, recursive=True))
    except OSError as error:
        raise InputError(
            f"{address} cannot be read: {error.strerror or first_line(error)}"
        ) from None
    found = []
    for entry in entries:
        below = os.path.relpath(entry.path, path)
        name = join(folder, below)
        hidden = any(part.startswith((".", "_")) for part in below.split("/"))
        wanted = fnmatch.fnmatch(name, pattern) if pattern else not hidden
        if wanted and entry.type == fs.FileType.File:
            found.append((name, entry.size, bool(pattern)))
    return found
