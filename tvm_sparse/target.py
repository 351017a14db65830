"""The CPU that code is generated for: its instruction set, and how its work is cut up."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from tvm_sparse.aarch64 import is_aarch64
from tvm_sparse.errors import ConfigError, check_word
from tvm_sparse.host import (
    EXTENSIONS,
    LEVEL_FEATURES,
    UNKNOWN_CPU,
    available_cores,
    detect_host,
    threads_here,
)
from tvm_sparse.tiles import NO_TILES, Tiles

_LEVEL_VECTOR_BITS = {"x86-64-v2": 128, "x86-64-v3": 256, "x86-64-v4": 512, "aarch64": 128}
#: Targets by the names of levels whose CPUs have their extensions.
EXTENDED = {name: name.rpartition("-")[0] for name in EXTENSIONS}
_LEAST_THREADS = 2
_LEVEL_REGISTERS = {"x86-64-v2": 16, "x86-64-v3": 16, "x86-64-v4": 32, "aarch64": 32}
#: Operations that take one core about as long as it takes to share them with another: 5 us.
PARALLEL_OPERATIONS = 1_000_000
#: Operations that take about as long as the cache lines of a value that come from another core, and
#: go back, where one thread computes what several computed before and will compute next.
_KEPT_OPERATIONS = 60


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
    extensions : tuple of str
        CPU flags beside those of the level that kernels may use: products of integers.
    """

    isa: str
    mcpu: str
    mtriple: str | None
    vector_bits: int
    num_registers: int
    threads: int = _LEAST_THREADS
    tiles: Tiles = NO_TILES
    extensions: tuple[str, ...] = ()

    def lanes(self, dtype: str = "float32") -> int:
        """Return how many values of a dtype one vector register holds."""
        return self.vector_bits // bits_of(dtype)

    @property
    def required_features(self) -> tuple[str, ...]:
        """CPU flags a machine needs to run the build."""
        return (*LEVEL_FEATURES[self.isa], *self.extensions)

    def without_extensions(self) -> CpuTarget:
        """Return the level alone, which more CPUs can run."""
        return replace(self, extensions=())

    @property
    def runs_here(self) -> bool:
        """Whether this machine's CPU can run the build."""
        return detect_host().features.issuperset(self.required_features)


def bits_of(dtype: str) -> int:
    """Return the bits of a value: 32 of `float32`, 8 of `int8`."""
    found = re.search(r"\d+", dtype)
    assert found is not None, f"{dtype} does not say how many bits it has"
    return int(found[0])


def resolve_target(
    text: str = "native", threads: int | None = None, tiles: Tiles | None = None
) -> CpuTarget:
    """Return the CPU to generate code for.

    Parameters
    ----------
    text : str
        `native`, one of the levels `x86-64-v2`, `x86-64-v3`, `x86-64-v4`, `aarch64`, or a level
        whose CPUs multiply words of integers, `x86-64-v3-vnni`, `x86-64-v4-vnni`, or tiles of them,
        `x86-64-v4-amx`.
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
    our kernels, and the artifact then runs on every CPU of that level. A build of integers uses the
    host's extensions as well; one of float32 does not (`without_extensions`).
    """
    host = detect_host()
    isa = host.isa if text == "native" else EXTENDED.get(text, text)
    if text == "native" and isa not in LEVEL_FEATURES:
        lack = f"this CPU ({host.model}) supports none of them" if host.features else UNKNOWN_CPU
        raise ConfigError(f"target native given, of {', '.join(LEVEL_FEATURES)}: {lack}")
    check_word("target", isa, ("native", *LEVEL_FEATURES, *EXTENDED))
    extensions = EXTENSIONS.get(text, ())
    if text == "native":
        here = (name for name, level in EXTENDED.items() if level == isa)
        for flags in map(EXTENSIONS.__getitem__, here):
            extensions = flags if host.features.issuperset(flags) else extensions
    return CpuTarget(
        isa=isa,
        mcpu="generic" if isa == "aarch64" else isa,
        mtriple=foreign_triple(isa),
        vector_bits=_LEVEL_VECTOR_BITS[isa],
        num_registers=_LEVEL_REGISTERS[isa],
        threads=max(_LEAST_THREADS, 1 << ((threads or available_cores()) - 1).bit_length()),
        tiles=tiles if tiles is not None and isa == host.isa else NO_TILES,
        extensions=extensions,
    )


def foreign_triple(isa: str) -> str | None:
    """Return LLVM's triple of the machines that run `isa`, None where this one is of their kind."""
    if isa == "native" or (isa == "aarch64") == is_aarch64():
        return None
    return "aarch64-linux-gnu" if isa == "aarch64" else "x86_64-linux-gnu"


def check_threads(text: str, threads: int | None) -> None:
    """Refuse more threads than this machine has, unless the build is for another one.

    Parameters
    ----------
    text, threads : str, int or None
        As `resolve_target` takes them.

    Raises
    ------
    ConfigError
        If a build for `text` runs here, but not on so many threads; or as `resolve_target`.
    """
    if resolve_target(text).runs_here:
        threads_here(threads)


def pays_in_parallel(operations: float, kept: float = 0.0) -> bool:
    """Whether a kernel has enough work for threads, counted in floating-point operations.

    What moves data rather than computes is counted at 20 operations a value. `kept` are the values
    that stay where they are if each thread takes the tokens that it has taken before.
    """
    return operations + _KEPT_OPERATIONS * kept >= PARALLEL_OPERATIONS
