"""What a diagnosis says of the installed packages and programs."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence

import tvm_sparse
from tvm_sparse.bench.peers.engine import ENGINES
from tvm_sparse.compiler.linker import find_linker, linker_to_install
from tvm_sparse.dependencies import (
    BATCH,
    FFI,
    FRONTEND,
    IMPORTING,
    ONNX_FILES,
    RUNTIME,
    SERVING,
    TORCH,
    WEIGHTS,
    Requirement,
    check_dependencies,
)
from tvm_sparse.diagnosis.record import Finding
from tvm_sparse.errors import DependencyError
from tvm_sparse.provenance import NOT_INSTALLED, installed_version
from tvm_sparse.runtime.tvm_runtime import is_tvm_installed, load_tvm_ffi

_IMPORTING = [requirement.names[0] for requirement in FRONTEND + WEIGHTS]
_PEERS = dict.fromkeys(name for engine in ENGINES.values() for name in engine.distributions)
#: What importers and services need, by extra.
_CHECKED: dict[str, tuple[Requirement, ...]] = {
    IMPORTING: FRONTEND + WEIGHTS,
    "torch": TORCH,
    "onnx": ONNX_FILES,
    "serve": SERVING,
    "batch": BATCH,
}
#: Packages of the extras that no version is asked of, and what they are for.
_EXTRAS = {
    "report": (["vl-convert-python"], "charts in reports"),
    "peers": ([n for n in _PEERS if n not in _IMPORTING], "other engines to compare with"),
}


def look_at_software() -> Iterator[Finding]:
    """Yield the findings."""
    yield Finding(
        "tvm_sparse", "ok", f"{tvm_sparse.__version__}, Python {platform.python_version()}"
    )
    yield _look_at_runtime()
    for extra, requirements in _CHECKED.items():
        yield _look_at_requirements(extra, requirements)
    for extra, (names, purpose) in _EXTRAS.items():
        yield _look_at_extra(extra, names, purpose)
    yield _look_at_linker()


def _look_at_runtime() -> Finding:
    """Load TVM's runtime library, as everybody does who runs a build."""
    try:
        check_dependencies(FFI)
        if not is_tvm_installed():
            return Finding(
                "runtime",
                "note",
                f"{_versions(r.names[0] for r in FFI)}, no apache-tvm: standalone builds alone run",
                "python -m pip install apache-tvm, or export with --standalone",
            )
        check_dependencies(RUNTIME)
        load_tvm_ffi()
    except DependencyError as error:
        return _refused("runtime", "broken", error)
    return Finding("runtime", "ok", _versions(r.names[0] for r in RUNTIME))


def _look_at_requirements(extra: str, requirements: Sequence[Requirement]) -> Finding:
    subject = f"extra {extra}"
    try:
        check_dependencies(requirements)
    except DependencyError as error:
        return _refused(subject, "note", error)
    return Finding(subject, "ok", _versions(dict.fromkeys(r.names[0] for r in requirements)))


def _look_at_extra(extra: str, names: Sequence[str], purpose: str) -> Finding:
    missing = [name for name in names if installed_version(name) == NOT_INSTALLED]
    subject = f"extra {extra}"
    if missing:
        found = f"{', '.join(missing)} not installed ({purpose})"
        return Finding(subject, "note", found, f"python -m pip install 'tvm_sparse[{extra}]'")
    return Finding(subject, "ok", _versions(names))


def _look_at_linker() -> Finding:
    linker = find_linker("native")
    if linker is None:
        return Finding(
            "linker",
            "note",
            "none, builds cannot be made here",
            f"install {linker_to_install('native')}",
        )
    return Finding("linker", "ok", linker)


def _refused(subject: str, state: str, error: DependencyError) -> Finding:
    found, _, advice = str(error).partition(". Run: ")
    return Finding(subject, "broken" if state == "broken" else "note", found, advice)


def _versions(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {installed_version(name)}" for name in names)
