"""Write a compiled model as an artifact directory: `model.so` and `metadata.json`.

The library holds code, the program of TVM's virtual machine, and the weights as they lie in memory.
What a model needs to be run on texts is added by `compiler.text_files`.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.compiler.linker import find_linker, linker_to_install
from tvm_sparse.compiler.weights_object import write_weights_object
from tvm_sparse.errors import BuildError
from tvm_sparse.processes.directory import place_directory
from tvm_sparse.records.read import read_json
from tvm_sparse.runtime.metadata import (
    LIBRARY_FILE,
    METADATA_FILE,
    ArtifactMetadata,
    FileEntry,
    file_sha256,
    save_metadata,
)


def export_artifact(
    executable: Any,
    weights: Mapping[str, np.ndarray],
    metadata: ArtifactMetadata,
    out_dir: str | os.PathLike[str],
) -> Path:
    """Write the artifact directory of a compiled model, as `place_artifact` does.

    The function of `executable` takes the inputs, then the weights, in their order. `files` and
    `checksum` of the metadata are filled in here.

    Raises
    ------
    BuildError
        If something else lies at `out_dir`, it cannot be written, or no linker is installed.
    """

    def fill(staging: Path) -> None:
        library = staging / LIBRARY_FILE
        signature = metadata.signature
        link_library(executable, list(weights.values()), library, metadata.isa, signature)
        entry = FileEntry(file_sha256(library), library.stat().st_size)
        save_metadata(staging, replace(metadata, files={LIBRARY_FILE: entry}))

    return place_artifact(fill, out_dir)


def link_library(
    executable: Any, weights: Sequence[np.ndarray], library: Path, isa: str, signature: str = ""
) -> None:
    """Link a compiled module and weights into a shared library.

    The weights are in order of its function's parameters; without them the library has the code
    alone. Its directory needs room for another copy of the weights. `signature` is for who loads
    the library.

    Raises
    ------
    BuildError
        If no linker is installed for `isa`, or it fails.
    OSError
        If the library cannot be written.
    """
    linker = find_linker(isa)
    if linker is None:
        raise BuildError(f"no linker for {isa} found: install {linker_to_install(isa)}")
    weights_object = library.with_name("weights.o")
    write_weights_object(weights, isa, weights_object, signature)
    executable.export_library(str(library), fcompile=_linker_call(linker, weights_object))
    weights_object.unlink()


def place_artifact(fill: Callable[[Path], object], out_dir: str | os.PathLike[str]) -> Path:
    """Make an artifact directory appear complete or not at all, and return it.

    `fill` writes the files into a staging directory, which is renamed. An older artifact or an
    empty directory at `out_dir` is replaced.

    Raises
    ------
    BuildError
        If something else lies at `out_dir`, or it cannot be written.
    """
    out_path = Path(os.path.abspath(out_dir))
    check_replaceable(out_path)
    return place_directory(fill, out_path, "the artifact")


def check_replaceable(directory: str | os.PathLike[str]) -> None:
    """Refuse a directory that an artifact must not replace.

    New, empty, or an older artifact: anything else holds what somebody may need.

    Raises
    ------
    BuildError
        If something else lies there.
    """
    path = Path(directory)
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_dir():
        raise BuildError(f"{path} exists and is no directory: choose another -o")
    if any(path.iterdir()) and not (path / METADATA_FILE).is_file():
        raise BuildError(
            f"{path} holds other files and no artifact: choose a new or an empty directory"
        )
    strangers = sorted(_files_in(path) - _files_of_artifact(path))
    if strangers:
        raise BuildError(
            f"{path} holds files that are no part of an artifact ({', '.join(strangers[:3])}): "
            "choose a new or an empty directory"
        )


def _files_in(directory: Path) -> set[str]:
    return {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def _files_of_artifact(directory: Path) -> set[str]:
    """Return the names of the files that an older artifact consists of, as its metadata says."""
    files = None
    with suppress(BuildError):  # damaged: it has the two files that every one has
        document = read_json(directory / METADATA_FILE, BuildError)
        files = document.get("files") if isinstance(document, dict) else None
    return {LIBRARY_FILE, METADATA_FILE, *(files if isinstance(files, dict) else ())}


def _linker_call(linker: str, weights_object: Path) -> Callable[..., None]:
    """Return what TVM calls to link its object files; the weights go with them."""

    def link(output: str, objects: Sequence[str], **_options: Any) -> None:
        bare = Path(linker).name.endswith(("ld", "ld.lld"))
        # Compilers ask for a build id, a hash of all weights; the metadata has a better one.
        options = () if bare else ("-fPIC", "-Wl,--build-id=none")
        command = [linker, "-shared", *options, "-o", output, *objects, str(weights_object)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            # Linkers pass on the system's words for it, before a last line that says nothing.
            if os.strerror(errno.ENOSPC) in done.stderr:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), output)
            reason = (done.stderr.strip() or "no message").splitlines()[-1]
            raise BuildError(
                f"linking {Path(output).name} with {linker} failed: {reason}. "
                "Set CXX to a working compiler"
            )

    # TVM writes the objects in the format it finds here.
    link.object_format = "o"  # type: ignore[attr-defined]
    return link
