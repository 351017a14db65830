"""The machine and the software a measurement was made with."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from tvm_sparse.host import detect_host
from tvm_sparse.provenance import TVM, versions_of


@dataclass(frozen=True)
class Environment:
    """Where and with what a benchmark ran.

    Attributes
    ----------
    cpu_model, isa : str
        Name of the CPU, and the highest instruction-set level it supports.
    cores : int
        Cores this process may use.
    threads : int
        Threads the builds ran on.
    l1d_bytes, l2_bytes, l3_bytes : int
        Cache sizes as one core sees them, 0 when unknown.
    memory_bytes : int
        Physical memory, 0 when unknown.
    governor : str or None
        Frequency governor of core 0, None where the system does not tell.
    load_average_1m : float or None
        Load average over the minute before the benchmark, None where the system has none.
    os : str
        Operating system and kernel.
    python : str
        Version of Python.
    versions : dict of str to str
        Installed versions of `tvm`, `ffi`, `numpy`, `scipy` and `tvm_sparse`.
    """

    cpu_model: str
    isa: str
    cores: int
    threads: int
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int
    memory_bytes: int
    governor: str | None
    load_average_1m: float | None
    os: str
    python: str
    versions: dict[str, str]


def detect_environment(threads: int) -> Environment:
    """Return the environment of this process.

    Parameters
    ----------
    threads : int
        Threads the builds run on.
    """
    host = detect_host()
    return Environment(
        cpu_model=host.model,
        isa=host.isa,
        cores=host.cores,
        threads=threads,
        l1d_bytes=host.l1d_bytes,
        l2_bytes=host.l2_bytes,
        l3_bytes=host.l3_bytes,
        memory_bytes=_memory_bytes(),
        governor=_governor(),
        load_average_1m=_load_average(),
        os=platform.platform(),
        python=platform.python_version(),
        versions=versions_of({**TVM, "numpy": "numpy", "scipy": "scipy"}),
    )


def _governor() -> str | None:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    try:
        return path.read_text().strip() or None
    except OSError:
        return None


def _load_average() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0
