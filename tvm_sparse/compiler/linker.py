"""Find what links shared libraries for an instruction set."""

from __future__ import annotations

import os
import shutil

from tvm_sparse.target import foreign_triple

#: Tried in this order after $CXX and $CC; all that is needed is a linker of shared libraries.
_LINKERS = ("g++", "gcc", "clang++", "clang", "cc", "ld", "ld.lld")
#: For machines of another kind, behind their triple; `ld.lld` links for all.
_CROSS_LINKERS = ("g++", "gcc", "ld")


def find_linker(isa: str) -> str | None:
    """Return the command that links shared libraries for `isa`, None when there is none."""
    if triple := foreign_triple(isa):
        candidates = (*(f"{triple}-{name}" for name in _CROSS_LINKERS), "ld.lld")
    else:
        candidates = (os.environ.get("CXX", ""), os.environ.get("CC", ""), *_LINKERS)
    return next((name for name in candidates if name and shutil.which(name)), None)


def linker_to_install(isa: str) -> str:
    """Return what to install where `find_linker` finds none."""
    if triple := foreign_triple(isa):
        return f"{triple}-{_CROSS_LINKERS[0]}"
    return "g++ (or binutils' ld), or set CXX to a compiler"
