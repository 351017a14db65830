"""Load an exported artifact, and check that it fits this machine.

Needs numpy and TVM's runtime library alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.dependencies import FFI, RUNTIME, check_dependencies
from tvm_sparse.errors import ArtifactError
from tvm_sparse.host import LEVEL_FEATURES, UNKNOWN_CPU, detect_host
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.runtime.crew import choose_threads
from tvm_sparse.runtime.loaded_model import LoadedModel
from tvm_sparse.runtime.metadata import (
    LIBRARY_FILE,
    RUNTIME_FILE,
    ArtifactMetadata,
    file_sha256,
    load_metadata,
)
from tvm_sparse.runtime.tvm_runtime import RuntimeLibrary, check_versions, first_line, load_tvm_ffi
from tvm_sparse.runtime.weights import map_weights, read_signature


def load(
    directory: str | os.PathLike[str], threads: int | None = None, check_ids: bool = True
) -> LoadedModel:
    """Load an artifact that `export` wrote.

    Its library is native code, which runs with all that the calling process may do: load only what
    you trust. Checksums tell damage, and not an attacker, who would change them too.

    Parameters
    ----------
    directory : str or path
        The artifact directory.
    threads : int or None
        Threads to run on; None takes every available core, or `TVM_NUM_THREADS` if that is less.
    check_ids : bool
        Whether every run refuses ids that the model has no row for; without, they are read as the
        nearest that it has.

    Returns
    -------
    LoadedModel

    Raises
    ------
    ArtifactError
        If files are missing or damaged, or the build does not fit this CPU or the installed TVM.
    ConfigError
        If the number of threads cannot be had.
    DependencyError
        If TVM's runtime is not installed.
    """
    path = Path(directory)
    metadata = load_metadata(path)
    check_cpu(metadata)
    carried = _carried_runtime(path, metadata)
    check_versions(metadata.versions, carried)
    threads = choose_threads(threads)
    check_files(path, metadata)
    tvm_ffi = load_tvm_ffi(carried)
    module, weights, signature = _load_library(tvm_ffi, path / LIBRARY_FILE)
    if signature != metadata.signature:
        raise ArtifactError(
            f"the metadata in {path} says {metadata.signature}, {LIBRARY_FILE} is {signature}: "
            "the artifact is damaged, export it again"
        )
    return LoadedModel(metadata, module, weights, threads, check_ids, path)


def check_packages(*artifacts: ArtifactMetadata) -> None:
    """Refuse to run artifacts with packages that are missing or do not fit, before any work.

    Raises
    ------
    DependencyError
        With the pip command that mends it.
    """
    check_dependencies(FFI if all(a.is_standalone for a in artifacts) else RUNTIME)


def check_cpu(metadata: ArtifactMetadata, features: frozenset[str] | None = None) -> None:
    """Refuse a build that needs CPU features this machine lacks.

    Parameters
    ----------
    metadata : ArtifactMetadata
        Of the build.
    features : frozenset of str or None
        CPU flags to compare with; None means this machine's.

    Raises
    ------
    ArtifactError
        If a required feature is missing.
    """
    host = detect_host()
    available = host.features if features is None else features
    missing = [name for name in metadata.required_features if name not in available]
    if missing:
        lack = f"this CPU ({host.model}) lacks {', '.join(missing)}"
        advice = f"export the model with --target {host.isa}"
        if host.refused.issuperset(missing):
            lack = f"this system does not let a process use {', '.join(missing)}"
        if not available:
            lack, advice = UNKNOWN_CPU, "make it readable"
        elif host.isa not in LEVEL_FEATURES:
            advice = "no target runs here"
        raise ArtifactError(f"the artifact was built for {metadata.isa}, {lack}: {advice}")


def check_files(directory: Path, metadata: ArtifactMetadata, library: str = LIBRARY_FILE) -> None:
    """Compare the artifact's files with the sizes and checksums in its metadata.

    Parameters
    ----------
    directory : Path
        The artifact.
    metadata : ArtifactMetadata
        Of it.
    library : str
        The file that it must have.

    Raises
    ------
    ArtifactError
        If one is missing, unlisted or differs.
    """
    if library not in metadata.files:
        raise ArtifactError(
            f"the metadata in {directory} does not list {library}: the artifact is damaged, "
            "export it again"
        )
    for name, entry in metadata.files.items():
        path = directory / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing: the artifact is incomplete, export it again")
        size = path.stat().st_size
        if size != entry.size_bytes:
            raise ArtifactError(
                f"{path} has {size} bytes instead of {entry.size_bytes}: the artifact is damaged, "
                "copy or export it again"
            )
        if file_sha256(path) != entry.sha256:
            raise ArtifactError(
                f"{path} does not match its checksum: the artifact is damaged, "
                "copy or export it again"
            )


def _carried_runtime(directory: Path, metadata: ArtifactMetadata) -> RuntimeLibrary | None:
    """Return the runtime library in an artifact, if it has one."""
    if not metadata.is_standalone:
        return None
    return RuntimeLibrary(directory.resolve() / RUNTIME_FILE, str(metadata.versions.get("tvm")))


def _load_library(tvm_ffi: Any, path: Path) -> tuple[Any, list[np.ndarray[Any, Any]], str]:
    """Return the TVM module in a shared library, the weights in it, and what it says it takes."""
    with _own_name(path.resolve()) as name:
        try:
            module = tvm_ffi.load_module(name, keep_module_alive=False)
            return module, map_weights(name), read_signature(name)
        except (RuntimeError, ValueError, AttributeError, OSError) as error:
            reason = first_line(error).rpartition(name)[2].strip(" :")
            advice = "export the model again"
            if os.statvfs(path).f_flag & os.ST_NOEXEC:
                advice = "its file system is mounted noexec, put it on another"
            raise ArtifactError(f"{path} cannot be loaded ({reason}): {advice}") from None


@contextlib.contextmanager
def _own_name(path: Path) -> Iterator[str]:
    """Yield a name of the file that the dynamic linker has not seen.

    It hands out a library it has loaded under the same name, even when the file was replaced
    since; under a new name it looks at the file.
    """
    with contextlib.ExitStack() as stack:
        try:
            link = stack.enter_context(temporary_directory()) / path.name
            link.symlink_to(path)
        except OSError:
            # No place for temporary files: right as long as the artifact is loaded once.
            link = path
        yield str(link)
