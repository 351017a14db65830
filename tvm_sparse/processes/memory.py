"""A lack of memory, by whatever name it comes."""

from __future__ import annotations

import errno
import re
import resource
from pathlib import Path

#: What the dynamic linker, C++ and Python's threads say of a lack of memory.
_NO_MEMORY = ("failed to map segment", "bad_alloc", "can't start new thread")


def is_lack_of_memory(error: BaseException) -> bool:
    """Return whether an error that nobody foresaw is, or may well be, a lack of memory.

    A limit of the address space (`ulimit -v`) makes libraries fail in ways of their own: imports
    stop half-way, attributes are not there. It is met before it is reached, by what is large.
    """
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if any(words in str(error) for words in _NO_MEMORY):
        return True
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    peak = re.search(r"^VmPeak:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return most != resource.RLIM_INFINITY and peak is not None and int(peak[1]) * 2048 > most


def memory_limit() -> str:
    """Return the limit of this process's address space in brackets, nothing without one."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    return "" if most == resource.RLIM_INFINITY else f" (ulimit -v allows {most >> 20} MB)"
