"""CPUs: what this one is, and what a build is made for.

Nothing here imports TVM at module level, so that a deployed model can check the CPU it meets.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_sparse.config import available_cores
from tvm_sparse.errors import ConfigError
from tvm_sparse.tiles import NO_TILES, Tiles

#: LLVM features each instruction-set level needs, in /proc/cpuinfo's spelling. The x86 levels are
#: those of the x86-64 psABI, listed by what our kernels are generated from.
_LEVEL_FEATURES: dict[str, tuple[str, ...]] = {
    "x86-64-v2": ("ssse3", "sse4_1", "sse4_2", "popcnt"),
    "x86-64-v3": ("ssse3", "sse4_1", "sse4_2", "popcnt", "avx", "avx2", "fma", "bmi1", "bmi2"),
    "x86-64-v4": (
        *("ssse3", "sse4_1", "sse4_2", "popcnt", "avx", "avx2", "fma", "bmi1", "bmi2"),
        *("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    ),
    "aarch64": ("asimd",),
}
_LEVEL_VECTOR_BITS = {"x86-64-v2": 128, "x86-64-v3": 256, "x86-64-v4": 512, "aarch64": 128}
_LEAST_THREADS = 2
_LEVEL_REGISTERS = {"x86-64-v2": 16, "x86-64-v3": 16, "x86-64-v4": 32, "aarch64": 32}


@dataclass(frozen=True)
class HostCpu:
    """The CPU of this machine.

    Attributes
    ----------
    model : str
        Marketing name.
    isa : str
        Highest level of `x86-64-v2`, `-v3`, `-v4` or `aarch64` that it supports.
    features : frozenset of str
        Flags in /proc/cpuinfo's spelling.
    l1d_bytes, l2_bytes, l3_bytes : int
        Data cache sizes in bytes, as one core sees them; 0 when unknown.
    cores : int
        Cores this process may use.
    """

    model: str
    isa: str
    features: frozenset[str]
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int
    cores: int


@dataclass(frozen=True)
class CpuTarget:
    """The CPU a build is generated for.

    Attributes
    ----------
    isa : str
        Instruction-set level; the artifact refuses CPUs without `required_features`.
    mcpu : str
        LLVM CPU name.
    mtriple : str or None
        LLVM triple when it is not the host's.
    vector_bits, num_registers : int
        Width and number of the vector registers the kernels are tiled for.
    threads : int
        For how many threads work is cut up. More may run a build, with less to share.
    tiles : Tiles
        What tuning found on the machine the build is for.
    """

    isa: str
    mcpu: str
    mtriple: str | None
    vector_bits: int
    num_registers: int
    threads: int = _LEAST_THREADS
    tiles: Tiles = NO_TILES

    @property
    def lanes(self) -> int:
        """Float32 lanes of one vector register."""
        return self.vector_bits // 32

    @property
    def required_features(self) -> tuple[str, ...]:
        """CPU flags a machine needs to run the build."""
        return _LEVEL_FEATURES[self.isa]


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _cache_bytes(level: int) -> int:
    base = Path("/sys/devices/system/cpu/cpu0/cache")
    for index in sorted(base.glob("index*")) if base.is_dir() else ():
        if _read(f"{index}/level").strip() != str(level):
            continue
        if _read(f"{index}/type").strip() == "Instruction":
            continue
        size = _read(f"{index}/size").strip()
        return int(size[:-1]) * {"K": 1024, "M": 1024**2}[size[-1]] if size else 0
    return 0


def _host_isa(features: frozenset[str]) -> str:
    if platform.machine() in ("aarch64", "arm64"):
        return "aarch64"
    supported = [
        level
        for level in ("x86-64-v2", "x86-64-v3", "x86-64-v4")
        if features.issuperset(_LEVEL_FEATURES[level])
    ]
    return supported[-1] if supported else "x86-64"


@functools.cache
def detect_host() -> HostCpu:
    """Return what this machine's CPU is and can do."""
    cpuinfo: dict[str, str] = {}
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        cpuinfo.setdefault(key.strip(), value.strip())
    features = frozenset((cpuinfo.get("flags") or cpuinfo.get("Features") or "").split())
    return HostCpu(
        model=cpuinfo.get("model name") or platform.processor() or platform.machine(),
        isa=_host_isa(features),
        features=features,
        l1d_bytes=_cache_bytes(1),
        l2_bytes=_cache_bytes(2),
        l3_bytes=_cache_bytes(3),
        cores=available_cores(),
    )


def resolve_target(
    text: str = "native", threads: int | None = None, tiles: Tiles | None = None
) -> CpuTarget:
    """Return the CPU to generate code for.

    Parameters
    ----------
    text : str
        `native`, one of the levels `x86-64-v2`, `x86-64-v3`, `x86-64-v4`, `aarch64`.
    threads : int or None
        How many threads the build will mostly run on; None means all cores of this process. It
        is rounded up to a power of two from 2 on, so that few numbers share one build.
    tiles : Tiles, optional
        What tuning found on this machine; other machines' builds do without.

    Raises
    ------
    ConfigError
        If `text` names none of them, or the host supports none of them.

    Notes
    -----
    `native` is the host's level, not its model: LLVM's generic tuning of a level was as fast on
    our kernels, and the artifact then runs on every CPU of that level.
    """
    isa = detect_host().isa if text == "native" else text
    if isa not in _LEVEL_FEATURES:
        raise ConfigError(
            f"target {text!r} given: use native or one of {', '.join(_LEVEL_FEATURES)}"
        )
    aarch64 = isa == "aarch64"
    return CpuTarget(
        isa=isa,
        mcpu="generic" if aarch64 else isa,
        mtriple="aarch64-linux-gnu" if aarch64 and detect_host().isa != "aarch64" else None,
        vector_bits=_LEVEL_VECTOR_BITS[isa],
        num_registers=_LEVEL_REGISTERS[isa],
        threads=max(_LEAST_THREADS, 1 << ((threads or available_cores()) - 1).bit_length()),
        tiles=tiles if tiles is not None and isa == detect_host().isa else NO_TILES,
    )


def tvm_target(target: CpuTarget, num_cores: int | None = None) -> Any:
    """Return the `tvm.target.Target` of `target` (imports TVM)."""
    from tvm.target import Target

    config: dict[str, Any] = {"kind": "llvm", "mcpu": target.mcpu}
    if target.mtriple:
        config["mtriple"] = target.mtriple
    if target.vector_bits == 512:
        # LLVM prefers 256-bit vectors for this level unless told otherwise.
        config["vector-width"] = 512
    if num_cores:
        config["num-cores"] = num_cores
    return Target(config)
