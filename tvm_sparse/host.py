"""What machine this is: its CPU, and how many of its cores this process may use.

Free of TVM, so that a deployed model can check the CPU it meets.
"""

from __future__ import annotations

import functools
import math
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tvm_sparse import amx
from tvm_sparse.aarch64 import core_name, features_by_hwcap, is_aarch64
from tvm_sparse.errors import ConfigError

#: CPU flags each instruction-set level needs, in /proc/cpuinfo's spelling. The x86 levels are
#: those of the x86-64 psABI, listed by what our kernels are generated from.
LEVEL_FEATURES: dict[str, tuple[str, ...]] = {
    "x86-64-v2": ("ssse3", "sse4_1", "sse4_2", "popcnt"),
    "x86-64-v3": ("ssse3", "sse4_1", "sse4_2", "popcnt", "avx", "avx2", "fma", "bmi1", "bmi2"),
    "x86-64-v4": (
        *("ssse3", "sse4_1", "sse4_2", "popcnt", "avx", "avx2", "fma", "bmi1", "bmi2"),
        *("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    ),
    # Every server has it, and float32 products need no more: SVE is no wider where it matters, see
    # docs/decisions/0027-aarch64.md.
    "aarch64": ("asimd",),
}
#: What CPUs of a level may have beside it, by names of targets: products of u8 and s8 in words, and
#: of whole tiles of such words.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "x86-64-v3-vnni": ("avx_vnni",),
    "x86-64-v4-vnni": ("avx512_vnni",),
    "x86-64-v4-amx": ("avx512_vnni", *amx.FLAGS),
}
#: Products of small integers and of bfloat16, and longer vectors: worth knowing of a machine.
_FURTHER_FEATURES = (
    *("avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimddp", "i8mm", "bf16", "sve", "sve2"),
)
#: Where there are no flags at all, the CPU is not what is wrong.
UNKNOWN_CPU = "/proc/cpuinfo does not say what this CPU can do"


@dataclass(frozen=True)
class HostCpu:
    """The CPU of this machine.

    Attributes
    ----------
    model : str
        Marketing name.
    isa : str
        Highest level of `x86-64-v2`, `-v3`, `-v4` or `aarch64` that it supports; `unknown` if none.
    features : frozenset of str
        Flags in /proc/cpuinfo's spelling, without `refused`.
    l1d_bytes, l2_bytes, l3_bytes : int
        Data cache sizes in bytes, as one core sees them; 0 when unknown.
    cores : int
        Cores this process may use.
    refused : frozenset of str
        Flags of what the CPU has, but the system does not let this process use.
    """

    model: str
    isa: str
    features: frozenset[str]
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int
    cores: int
    refused: frozenset[str] = frozenset()


@functools.cache
def detect_host() -> HostCpu:
    """Return what this machine's CPU is and can do."""
    model, features = read_cpuinfo(_read(Path("/proc/cpuinfo")))
    refused = features.intersection(amx.FLAGS)
    if refused and amx.is_permitted():
        refused = frozenset()
    features -= refused
    return HostCpu(
        model=model,
        isa=_host_isa(features),
        features=features,
        l1d_bytes=_cache_bytes(1),
        l2_bytes=_cache_bytes(2),
        l3_bytes=_cache_bytes(3),
        cores=available_cores(),
        refused=refused,
    )


def read_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """Return the name of this machine's CPU and its flags.

    Parameters
    ----------
    text : str
        What /proc/cpuinfo says.
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    if is_aarch64():
        name = core_name(fields.get("CPU implementer", ""), fields.get("CPU part", ""))
        return name, frozenset(fields.get("Features", "").split()) or features_by_hwcap()
    return _model_name(fields), frozenset(fields.get("flags", "").split())


def _model_name(fields: dict[str, str]) -> str:
    """Return a name that differs for CPUs that do: a hypervisor may say "AMD EPYC" of them all."""
    name = fields.get("model name") or platform.processor() or platform.machine()
    generation = ", ".join(f"{k} {fields[k]}" for k in ("cpu family", "model") if k in fields)
    if generation and not any(character.isdigit() for character in name):
        return f"{name} ({generation})"
    return name


def available_cores() -> int:
    """Return how many cores this process may use: those it may run on, less in a container.

    A container's quota of CPU time counts as so many cores, rounded up: more threads would all be
    stopped together for the rest of each period.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    return cores if quota is None else min(cores, max(1, math.ceil(quota)))


def memory_bytes() -> int:
    """Return how many bytes of memory this process may use: the machine's, less in a container."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(machine, memory_limit_bytes() or machine)


@functools.cache
def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that the cgroups of this process have, None without a limit.

    Parameters
    ----------
    root : Path
        Where /proc and /sys are.
    """
    limits = (_read(group / "memory.max").strip() for group in _cgroups(root))
    return min((int(limit) for limit in limits if limit.isdigit()), default=None)


def available_memory_bytes() -> int | None:
    """Return the memory that programs can have without swapping, None where nothing tells."""
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def threads_here(threads: int | None) -> int:
    """Return how many threads to run on this machine: as many as asked for, or every core.

    Raises
    ------
    ConfigError
        If `threads` is no number of cores of this machine.
    """
    cores = available_cores()
    if threads is None:
        return cores
    if not isinstance(threads, int) or not 1 <= threads <= cores:
        raise ConfigError(f"threads {threads} given: use 1 to {cores} on this machine")
    return threads


def shares_of_cores(count: int, processes: int) -> list[tuple[int, list[int]]]:
    """Return how many cores each of some processes has, and which.

    Parameters
    ----------
    count : int
        Cores of all together, from `threads_here`.
    processes : int
        How many, at most as many.

    Returns
    -------
    list of (int, list of int)
        Cores of each, and their numbers: neighbours, which share what cores share. There are none
        where it is the system's to choose: cores are left over, or a quota counts time and not
        cores.
    """
    bounds = [(n * count // processes, (n + 1) * count // processes) for n in range(processes)]
    here = neighbouring_cores()
    pinned = here if processes > 1 and len(here) == count else []
    return [(end - start, pinned[start:end]) for start, end in bounds]


def neighbouring_cores() -> list[int]:
    """Return the cores this process may run on; those that share much are next to each other."""
    return sorted(os.sched_getaffinity(0), key=_place_of_core)


def _place_of_core(core: int) -> tuple[int, int, int]:
    """Return a core's package, its physical core, and its number."""
    topology = Path(f"/sys/devices/system/cpu/cpu{core}/topology")
    package, physical = (
        _read(topology / name).strip() for name in ("physical_package_id", "core_id")
    )
    known = package.isdigit() and physical.isdigit()
    return (int(package), int(physical), core) if known else (0, core, core)


@functools.cache
def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the CPU time per time that the cgroups of this process have, None without a limit.

    Parameters
    ----------
    root : Path
        Where /proc and /sys are.
    """
    quotas = []
    for group in _cgroups(root):
        # "150000 100000": microseconds of CPU time in each period; "max 100000" without a limit.
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if quota.isdigit() and int(period) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _cgroups(root: Path) -> Iterator[Path]:
    """Yield the directories of this process's cgroup (version 2) and of those around it."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        if line.startswith("0::/"):
            group = Path(line.removeprefix("0::/"))
            yield from (root / "sys/fs/cgroup" / path for path in (group, *group.parents))


def known_features(features: frozenset[str]) -> tuple[str, ...]:
    """Return the flags of a CPU that code is generated from, or may be one day."""
    known = {flag for level in LEVEL_FEATURES.values() for flag in level} | set(_FURTHER_FEATURES)
    return tuple(sorted(features & known))


def _host_isa(features: frozenset[str]) -> str:
    if is_aarch64():
        return "aarch64" if "asimd" in features else "unknown"
    supported = [
        level
        for level in ("x86-64-v2", "x86-64-v3", "x86-64-v4")
        if features.issuperset(LEVEL_FEATURES[level])
    ]
    return supported[-1] if supported else "unknown"


def _cache_bytes(level: int) -> int:
    base = Path("/sys/devices/system/cpu/cpu0/cache")
    for index in sorted(base.glob("index*")) if base.is_dir() else ():
        if _read(index / "level").strip() != str(level):
            continue
        if _read(index / "type").strip() == "Instruction":
            continue
        size = _read(index / "size").strip()
        return int(size[:-1]) * {"K": 1024, "M": 1024**2}[size[-1]] if size else 0
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
