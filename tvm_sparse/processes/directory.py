"""Put directories in place so that they appear complete or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tvm_sparse.errors import BuildError
from tvm_sparse.processes.temporary import temporary_directory


def place_directory(fill: Callable[[Path], object], path: Path, what: str) -> Path:
    """Fill a directory beside its place, then rename it; what killed runs left there goes.

    Parameters
    ----------
    fill : callable
        Writes the files into the staging directory it is given.
    path : Path
        The directory to make, absolute. One that is there is replaced.
    what : str
        What it holds, for messages: "the artifact".

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    BuildError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_directory(beside=path) as workshop:
            staging = workshop / "new"
            staging.mkdir()
            fill(staging)
            staging.chmod(0o755)
            replace_directory(staging, path, workshop / "old")
    except OSError as error:
        reason = error.strerror or error
        raise BuildError(f"{what} cannot be written to {path}: {reason}") from None
    return path


def replace_directory(fresh: Path, path: Path, retired: Path) -> None:
    """Rename `fresh` to `path`; what is there goes to `retired`, or comes back if that fails.

    Raises
    ------
    OSError
        A directory cannot be renamed.
    """
    replaced = path.exists()
    if replaced:
        path.rename(retired)
    try:
        fresh.rename(path)
    except BaseException:
        if replaced:
            retired.rename(path)
        raise
