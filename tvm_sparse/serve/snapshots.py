"""Copies of artifacts, for servers whose artifacts may change.

A library is mapped, not read: where its file is written over in place, the code and the weights in
memory change with it, and the process dies. Copies are nobody's to write over, and one copy is
shared by all processes of a server.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from tvm_sparse.errors import ArtifactError
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.runtime.metadata import METADATA_FILE, load_metadata
from tvm_sparse.serve.cards import EVALUATION_FILE
from tvm_sparse.serve.config import ServeConfig

#: Of each file its name, number, size and time of change; of a missing directory nothing.
Look = tuple[tuple[str, int, int, int], ...]


def look_at(path: str | Path) -> Look:
    """Return what tells whether a file, or those in a directory, are others than before."""
    home = Path(path)
    rows = []
    try:
        for one in sorted(home.rglob("*")) if home.is_dir() else [home]:
            status = one.stat()
            rows.append((str(one), status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError:  # it is being replaced
        return ()
    return tuple(rows)


class Snapshots:
    """Copies of artifacts in one directory.

    Parameters
    ----------
    folder : Path
        Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0
        self._kept: dict[str, tuple[Look, Path]] = {}

    def keep(self, directory: str) -> str:
        """Return a copy of an artifact as it is now, the last one if that is still the same.

        Whether the copy is whole is for who loads it.

        Raises
        ------
        ArtifactError
            It cannot be read, or changed meanwhile.
        """
        look = look_at(directory)
        before = self._kept.get(directory)
        if before is not None and before[0] == look:
            return str(before[1])
        self._made += 1
        target = self._folder / str(self._made)
        try:
            _copy(Path(directory), target)
        except (OSError, ArtifactError) as error:
            shutil.rmtree(target, ignore_errors=True)
            if isinstance(error, ArtifactError):
                raise
            raise ArtifactError(f"{directory} cannot be copied: {error.strerror}") from None
        if look_at(directory) != look:
            shutil.rmtree(target, ignore_errors=True)
            raise ArtifactError(f"{directory} changed while it was read")
        self._kept[directory] = look, target
        return str(target)

    def forget_others(self, used: Collection[str]) -> None:
        """Remove copies that are not used; what is mapped of them stays."""
        self._kept = {k: (look, one) for k, (look, one) in self._kept.items() if str(one) in used}
        for one in self._folder.iterdir():
            if str(one) not in used:
                shutil.rmtree(one, ignore_errors=True)


@contextlib.contextmanager
def copies(config: ServeConfig) -> Iterator[Snapshots | None]:
    """Yield where artifacts are copied to, for as long as a server runs; None if it need not."""
    if not (config.control.watch or config.control.load_unload):
        yield None
        return
    with temporary_directory() as folder:
        yield Snapshots(folder)


def _copy(source: Path, target: Path) -> None:
    """Copy the files of an artifact.

    Raises
    ------
    ArtifactError
        It is none, or lists a file outside of it.
    OSError
        A file cannot be copied.
    """
    for name in (METADATA_FILE, *load_metadata(source).files):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ArtifactError(f"the metadata in {source} lists {name[:100]}: no file within it")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    if (source / EVALUATION_FILE).is_file():
        shutil.copyfile(source / EVALUATION_FILE, target / EVALUATION_FILE)
