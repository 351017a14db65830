"""Find what links shared libraries for an instruction set."""

from __future__ import annotations

import os
import shutil

#: Tried in this order after $CXX and $CC; all that is needed is a linker of shared libraries.
_LINKERS = ("g++", "gcc", "clang++", "clang", "cc", "ld", "ld.lld")
_AARCH64_LINKERS = (*(f"aarch64-linux-gnu-{name}" for name in ("g++", "gcc", "ld")), "ld.lld")


def find_linker(isa: str) -> str | None:
    """Return the command that links shared libraries for `isa`, None when there is none."""
    foreign = is_foreign(isa)
    named = () if foreign else (os.environ.get("CXX", ""), os.environ.get("CC", ""))
    candidates = (*named, *(_AARCH64_LINKERS if foreign else _LINKERS))
    return next((name for name in candidates if name and shutil.which(name)), None)


def linker_to_install(isa: str) -> str:
    """Return what to install where `find_linker` finds none."""
    return (
        _AARCH64_LINKERS[0]
        if is_foreign(isa)
        else "g++ (or binutils' ld), or set CXX to a compiler"
    )


def is_foreign(isa: str) -> bool:
    """Whether builds for `isa` are for machines of another kind than this one."""
    return isa == "aarch64" and os.uname().machine not in ("aarch64", "arm64")
