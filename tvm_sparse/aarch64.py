"""What an AArch64 CPU says of itself: its core, its features, the length of its vectors."""

from __future__ import annotations

import ctypes
import platform

#: Cores of servers, by implementer and part: arch/arm64/include/asm/cputype.h of Linux.
_CORES = {
    ("0x41", "0xd08"): "Arm Cortex-A72",
    ("0x41", "0xd0c"): "Arm Neoverse N1",
    ("0x41", "0xd40"): "Arm Neoverse V1",
    ("0x41", "0xd49"): "Arm Neoverse N2",
    ("0x41", "0xd4f"): "Arm Neoverse V2",
    ("0x41", "0xd84"): "Arm Neoverse V3",
    ("0x41", "0xd8e"): "Arm Neoverse N3",
    ("0x46", "0x001"): "Fujitsu A64FX",
    ("0x48", "0xd01"): "HiSilicon TSV110",
    ("0xc0", "0xac3"): "Ampere-1",
    ("0xc0", "0xac4"): "Ampere-1A",
}
#: Bits of the auxiliary vector: arch/arm64/include/uapi/asm/hwcap.h of Linux.
_AT_HWCAP, _AT_HWCAP2 = 16, 26
_HWCAP = {"fp": 0, "asimd": 1, "fphp": 9, "asimdhp": 10, "asimddp": 20, "sve": 22}
_HWCAP2 = {"sve2": 1, "i8mm": 13, "bf16": 14}
#: include/uapi/linux/prctl.h; the lower bits of the answer are bytes.
_PR_SVE_GET_VL, _VL_MASK = 51, 0xFFFF


def is_aarch64() -> bool:
    """Whether this is such a machine."""
    return platform.machine() in ("aarch64", "arm64")


def core_name(implementer: str, part: str) -> str:
    """Return the name of a core by what /proc/cpuinfo calls `CPU implementer` and `CPU part`."""
    unknown = f"AArch64 core {part} of {implementer}" if part else "AArch64"
    return _CORES.get((implementer.lower(), part.lower()), unknown)


def features_by_hwcap() -> frozenset[str]:
    """Return what the system tells every process of the CPU, in /proc/cpuinfo's spelling.

    For where that file is not there, or an emulator shows another machine's.
    """
    tell = ctypes.CDLL(None).getauxval
    tell.argtypes, tell.restype = (ctypes.c_ulong,), ctypes.c_ulong
    return decode_hwcap(tell(_AT_HWCAP), tell(_AT_HWCAP2))


def decode_hwcap(hwcap: int, hwcap2: int) -> frozenset[str]:
    """Return the features that the bits of both words stand for."""
    words = ((hwcap, _HWCAP), (hwcap2, _HWCAP2))
    return frozenset(name for word, bits in words for name, bit in bits.items() if word >> bit & 1)


def sve_bits(features: frozenset[str]) -> int:
    """Return the length of this process's scalable vectors in bits, 0 where it has none."""
    if "sve" not in features:
        return 0
    answer: int = ctypes.CDLL(None).prctl(_PR_SVE_GET_VL, 0, 0, 0, 0)
    return max(0, answer & _VL_MASK) * 8 if answer > 0 else 0
