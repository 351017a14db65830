"""Find out before the work whether its results can be written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tvm_sparse.cache.store import Cache
from tvm_sparse.errors import ConfigError


def check_output_file(flag: str, path: str | None) -> None:
    """Refuse a file that cannot be written.

    Parameters
    ----------
    flag : str
        For the message.
    path : str or None
        File to write later; None is fine.

    Raises
    ------
    ConfigError
        It is a directory, or its directory does not exist or cannot be written.
    """
    if path is None:
        return
    if os.path.isdir(path):
        raise ConfigError(f"{flag} {path} given: that is a directory, name a file in it")
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"{flag} {path} given: there is no directory {folder}, make it first")
    _try_writing(flag, path, folder)


def check_output_directory(flag: str, path: str | None) -> None:
    """Refuse a directory that can neither be made nor written.

    Parameters
    ----------
    flag : str
        For the message.
    path : str or None
        Directory to write to later; None is fine.

    Raises
    ------
    ConfigError
        Something that is no directory is in the way, or its place cannot be written.
    """
    if path is None:
        return
    folder = Path(path).absolute()
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise ConfigError(f"{flag} {path} given: {folder} exists and is no directory")
    _try_writing(flag, path, folder)


def check_cache_directory(cache_dir: str | None) -> None:
    """Refuse a cache that does not exist and cannot be made.

    One that exists is let through: whatever is asked for may be in it, so that it need not be
    written.

    Parameters
    ----------
    cache_dir : str or None
        As given to `Cache`.

    Raises
    ------
    ConfigError
        Something that is no directory is in the way, or its place cannot be written.
    """
    root = Cache(cache_dir).root
    if not root.is_dir():
        check_output_directory("cache directory", str(root))


def _try_writing(flag: str, path: str, folder: Path) -> None:
    """Make a file in `folder` for a moment; asking for permission alone says yes to root."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{flag} {path} given: {folder} cannot be written ({error.strerror})"
        ) from None
