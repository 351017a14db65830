"""What this machine can do at most, measured once and kept, and which machine it is.

`tvm_sparse.bench.machine` measures the ceilings, with TVM; here they are only used, without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tvm_sparse.host import HostCpu, detect_host

#: The levels of memory that weights come from, nearest first.
LEVELS = ("L2", "L3", "DRAM")


@dataclass(frozen=True)
class Ceilings:
    """What so many threads reach together.

    Attributes
    ----------
    threads : int
        Number of threads.
    peak_gflop_s : float
        Float32 multiply-adds in registers, two operations each, in 1e9 per second.
    bandwidth_gb_s : dict of str to float
        Reading, in 1e9 bytes per second, by level: each of `LEVELS` and what else was measured.
    """

    threads: int
    peak_gflop_s: float
    bandwidth_gb_s: dict[str, float]

    def roofline_ms(self, flops: float, read_bytes: float, level: str) -> float:
        """Return the least time of `flops` on bytes that are read once, in milliseconds.

        They come from `level`, one of `LEVELS`.
        """
        compute_s = flops / (self.peak_gflop_s * 1e9)
        memory_s = read_bytes / (self.bandwidth_gb_s[level] * 1e9)
        return max(compute_s, memory_s) * 1e3


@dataclass(frozen=True)
class MachineId:
    """What has to be equal for two measurements to be compared: a CPU, and the cores to be used."""

    cpu_model: str
    isa: str
    cores: int

    def mismatch(self, other: Mapping[str, Any]) -> str:
        """Say in what another machine differs from this one; empty if in nothing."""
        here = asdict(self)
        return ", ".join(
            f"{name} {other.get(name)!r} there and {value!r} here"
            for name, value in here.items()
            if other.get(name) != value
        )


def this_machine() -> MachineId:
    """Return the machine this process runs on."""
    host = detect_host()
    return MachineId(host.model, host.isa, host.cores)


def level_of(working_set_bytes: float, host: HostCpu, threads: int) -> str:
    """Return which of `LEVELS` holds data that is read again and again.

    So many bytes are read between two readings of the same one. An unknown cache holds nothing, and
    each thread brings an L2 of its own.
    """
    if working_set_bytes <= host.l2_bytes * threads:
        return "L2"
    return "L3" if working_set_bytes <= host.l3_bytes else "DRAM"
