"""TVM's runtime library, loaded without TVM's compiler.

Only `libtvm_runtime.so` and `tvm_ffi` are touched. When the `tvm` package was imported before, its
already loaded runtime is the same library and is shared.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from pathlib import Path
from typing import Any

from tvm_sparse.errors import ArtifactError, DependencyError
from tvm_sparse.provenance import TVM, installed_version

#: How often an idle worker looks for work before it sleeps: about ten milliseconds. TVM's own
#: 300000 keep a core busy for a tenth of a second after the last inference.
_SPIN_COUNT = "20000"


@functools.cache
def load_tvm_ffi() -> Any:
    """Load TVM's runtime library and return the module `tvm_ffi`.

    Raises
    ------
    DependencyError
        If apache-tvm or apache-tvm-ffi is not installed, or its library cannot be loaded.
    """
    # TVM pins its workers to cores otherwise, where two processes would fight over the same ones
    # and a pool lowered to one thread would sit on core 0 whatever else runs there.
    os.environ.setdefault("TVM_BIND_THREADS", "0")
    os.environ.setdefault("TVM_THREAD_POOL_SPIN_COUNT", _SPIN_COUNT)
    try:
        import tvm_ffi
    except ImportError as error:
        raise DependencyError(
            f"apache-tvm-ffi cannot be imported ({error}): pip install apache-tvm"
        ) from None
    try:
        ctypes.CDLL(str(find_runtime_library()), ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise DependencyError(f"TVM's runtime library cannot be loaded: {error}") from None
    return tvm_ffi


def find_runtime_library() -> Path:
    """Return the path of `libtvm_runtime.so` in the installed apache-tvm.

    Raises
    ------
    DependencyError
        If it is not installed.
    """
    spec = importlib.util.find_spec("tvm")
    if spec is None or spec.origin is None:
        raise DependencyError("apache-tvm is not installed: pip install apache-tvm")
    override = os.environ.get("TVM_LIBRARY_PATH")
    folders = [Path(override)] if override else []
    folders.append(Path(spec.origin).parent / "lib")
    for folder in folders:
        if (folder / "libtvm_runtime.so").is_file():
            return folder / "libtvm_runtime.so"
    raise DependencyError(
        f"no libtvm_runtime.so in {folders[-1]}: reinstall apache-tvm for this platform"
    )


def check_versions(built_with: dict[str, str]) -> None:
    """Refuse a build made for other releases of TVM and its FFI.

    Both change their binary interface with the first two numbers of a version; what comes after
    those are fixes.

    Raises
    ------
    ArtifactError
        If a release differs or the build does not say.
    """
    for key, package in TVM.items():
        installed, built = installed_version(package), str(built_with.get(key, "unknown"))
        if built.split(".")[:2] != installed.split(".")[:2]:
            raise ArtifactError(
                f"the artifact was built with {package} {built}, here is {installed}: "
                f"pip install {package}=={built}, or export the model again"
            )


def first_line(error: BaseException) -> str:
    """Return the first line of what TVM says about an error: a trace may follow it."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
