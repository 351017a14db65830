"""Whether this process may use AMX: Linux saves its large registers for who has asked it to.

One request is for all threads of a process, and for its forks. Kernels make it themselves, so that
any program can run a build; here it is made to know the answer before there is a kernel.
"""

from __future__ import annotations

import ctypes

#: Flags of what kernels use, in /proc/cpuinfo's spelling.
FLAGS = ("amx_tile", "amx_int8")
#: A system call of Linux on x86-64 and its arguments, 0 where it is granted:
#: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
REQUEST = (158, 0x1023, 18)


def is_permitted() -> bool:
    """Ask for AMX on a CPU that has it, and return whether this process may use it."""
    return bool(ctypes.CDLL(None).syscall(*map(ctypes.c_long, REQUEST)) == 0)
