"""Give an artifact TVM's runtime libraries, so that it runs where TVM is not installed."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from importlib import metadata as distributions
from pathlib import Path

from tvm_sparse.errors import ConfigError
from tvm_sparse.provenance import TVM
from tvm_sparse.records.write import write_text
from tvm_sparse.runtime.metadata import (
    FFI_FILE,
    REQUIREMENTS_FILE,
    RUNTIME_FILE,
    RUNTIME_FOLDER,
    FileEntry,
    file_sha256,
    load_metadata,
    save_metadata,
)
from tvm_sparse.runtime.tvm_runtime import find_runtime_library
from tvm_sparse.target import foreign_triple

#: What this package needs to load, run and measure such an artifact, and what that needs in turn:
#: all of it is named, since tokenizers would bring a client of the hub, and this package TVM.
REQUIREMENTS = (
    *("apache-tvm-ffi==0.1.14.post1", "typing_extensions>=4.13"),
    *("numpy>=1.26", "msgspec>=0.19", "tokenizers>=0.21", "pyyaml>=6.0", "click>=8.2"),
    *("rich>=13", "markdown-it-py", "mdurl", "pygments"),
)
_HEAD = "# pip install --no-deps tvm_sparse -r requirements.txt"


def check_standalone(isa: str) -> None:
    """Refuse to make an artifact standalone for a machine of another kind than this one.

    Raises
    ------
    ConfigError
        The libraries installed here do not run there.
    """
    if foreign_triple(isa) is not None:
        raise ConfigError(
            f"--standalone given for {isa}: the TVM installed here does not run there, export on "
            "such a machine, or leave it out and install apache-tvm there"
        )


def add_runtime(directory: Path) -> None:
    """Add TVM's runtime libraries, their licences and a list of requirements to an artifact.

    Parameters
    ----------
    directory : Path
        The artifact, nobody else's yet; its metadata is written anew.

    Raises
    ------
    ConfigError
        As `check_standalone`.
    DependencyError
        If TVM is not installed.
    BuildError, OSError
        If a file cannot be written.
    """
    metadata = load_metadata(directory)
    check_standalone(metadata.isa)
    (directory / RUNTIME_FOLDER).mkdir()
    for name, source in {
        RUNTIME_FILE: find_runtime_library(),
        FFI_FILE: _find_ffi_library(),
        **_licences(),
    }.items():
        shutil.copyfile(source, directory / name)
    write_text(directory / REQUIREMENTS_FILE, "\n".join((_HEAD, *REQUIREMENTS, "")))
    added = {
        path.relative_to(directory).as_posix(): FileEntry(file_sha256(path), path.stat().st_size)
        for path in sorted((directory / RUNTIME_FOLDER).iterdir())
    }
    save_metadata(directory, replace(metadata, files={**metadata.files, **added}))


def _find_ffi_library() -> Path:
    spec = importlib.util.find_spec("tvm_ffi")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "lib" / Path(FFI_FILE).name


def _licences() -> dict[str, Path]:
    """Return the texts that the packages of the libraries come with, by their names here."""
    found = {}
    for package in TVM.values():
        for file in distributions.files(package) or ():
            if file.parent.name == "licenses":
                name = f"{RUNTIME_FOLDER}/{package}-{file.name}"
                found[name] = Path(str(file.locate()))
    return found
