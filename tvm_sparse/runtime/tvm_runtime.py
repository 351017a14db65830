"""TVM's runtime library, loaded without TVM's compiler.

Only `libtvm_runtime.so` and `tvm_ffi` are touched. When the `tvm` package was imported before, its
already loaded runtime is the same library and is shared. A standalone build carries the library for
where the package, fifty times its size, is not installed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_sparse.errors import ArtifactError, DependencyError
from tvm_sparse.provenance import NOT_INSTALLED, TVM, installed_version

#: How often an idle worker looks for work before it sleeps: about ten milliseconds. TVM's own
#: 300000 keep a core busy for a tenth of a second after the last inference.
_SPIN_COUNT = "20000"


@dataclass(frozen=True)
class RuntimeLibrary:
    """TVM's runtime library, in a file.

    Attributes
    ----------
    path : Path
        The file.
    version : str
        Of TVM.
    """

    path: Path
    version: str


class _Loaded:
    """What this process has loaded; a second runtime library would not be another one."""

    tvm_ffi: Any = None
    version = ""


_lock = threading.Lock()


def load_tvm_ffi(carried: RuntimeLibrary | None = None) -> Any:
    """Load TVM's runtime library, unless that is done, and return the module `tvm_ffi`.

    Parameters
    ----------
    carried : RuntimeLibrary, optional
        The one to load where apache-tvm is not installed.

    Raises
    ------
    DependencyError
        If apache-tvm or apache-tvm-ffi is not installed, or its library cannot be loaded.
    """
    if _Loaded.tvm_ffi is not None:
        return _Loaded.tvm_ffi
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
    with _lock:
        if _Loaded.tvm_ffi is None:
            library = carried
            if library is None or is_tvm_installed():
                library = RuntimeLibrary(find_runtime_library(), installed_version(TVM["tvm"]))
            try:
                ctypes.CDLL(str(library.path), ctypes.RTLD_GLOBAL)
            except OSError as error:
                raise DependencyError(f"TVM's runtime library cannot be loaded: {error}") from None
            _Loaded.version, _Loaded.tvm_ffi = library.version, tvm_ffi
    return _Loaded.tvm_ffi


def is_tvm_installed() -> bool:
    """Whether the package apache-tvm is there."""
    return importlib.util.find_spec("tvm") is not None


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


def check_versions(built_with: dict[str, str], carried: RuntimeLibrary | None = None) -> None:
    """Refuse a build made for other releases of TVM and its FFI.

    Both change their binary interface with the first two numbers of a version; what comes after
    those are fixes.

    Parameters
    ----------
    built_with : dict of str to str
        Versions by the keys of `provenance.TVM`.
    carried : RuntimeLibrary, optional
        What the build brings of TVM itself.

    Raises
    ------
    ArtifactError
        If a release differs or the build does not say.
    """
    for key, package in TVM.items():
        here, built = installed_version(package), str(built_with.get(key, "unknown"))
        if key == "tvm" and _Loaded.version:
            here = _Loaded.version
        elif key == "tvm" and carried is not None and not is_tvm_installed():
            here = carried.version
        if built.split(".")[:2] == here.split(".")[:2]:
            continue
        found, advice = f"here is {here}", "export the model again"
        if here == NOT_INSTALLED:
            found = f"which is {NOT_INSTALLED}"
            if key == "tvm":
                advice = "export the model with --standalone"
        raise ArtifactError(
            f"the artifact was built with {package} {built}, {found}: "
            f"pip install {package}=={built}, or {advice}"
        )


def first_line(error: BaseException) -> str:
    """Return the first line of what TVM says about an error: a trace may follow it."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
