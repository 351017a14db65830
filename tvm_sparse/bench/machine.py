"""What this machine can do at most: multiply-adds per second, bytes per second of each cache.

Both are measured with code generated like our kernels', so a kernel's share of them tells how far
it is from its roofline. Run in a process of its own with TVM_NUM_THREADS set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm

from tvm_sparse.host import detect_host
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.kernels.vector import Registers, argument, load, parallel, prim_func, serial, store
from tvm_sparse.progress import Progress, silent
from tvm_sparse.target import CpuTarget, resolve_target

# Two FMA ports with a latency of four cycles need eight sums in flight; more do no harm.
_ACCUMULATORS = 12
_FMA_ROUNDS = 100_000
_READ_BYTES = 256 << 20
_REPEATS = 15
# Where the system does not tell: cache sizes that are usual.
_DEFAULT_BYTES = {"L1": 32 << 10, "L2": 1 << 20, "L3": 32 << 20}
_LINE_BYTES = 64


@dataclass(frozen=True)
class Bandwidth:
    """Read bandwidth at one working-set size, which stands for a level of the memory.

    Attributes
    ----------
    level : {"L1", "L2", "L3", "DRAM"}
    working_set_bytes : int
        Read over and over, by each thread its own.
    bandwidth_gb_s : float
        Of all threads together, 1e9 bytes per second.
    """

    level: str
    working_set_bytes: int
    bandwidth_gb_s: float


@dataclass(frozen=True)
class Roofline:
    """The limits of this machine.

    Attributes
    ----------
    threads : int
        Threads they were measured with.
    fma_gflop_s : float
        float32 multiply-adds of all threads together, two operations each.
    bandwidths : tuple of Bandwidth
        From the nearest level outwards.
    """

    threads: int
    fma_gflop_s: float
    bandwidths: tuple[Bandwidth, ...]


def measure_roofline(threads: int, report: Progress = silent) -> Roofline:
    """Measure the machine with the threads that TVM runs in this process.

    Parameters
    ----------
    threads : int
        As TVM_NUM_THREADS says.
    report : callable
        Receives one line a step.
    """
    target = resolve_target()
    report("measuring multiply-adds")
    fma = _measure_fma(target, threads)
    bandwidths = []
    for level, size in working_sets(threads).items():
        report(f"measuring {level} bandwidth ({size >> 10} KiB per thread)")
        bandwidths.append(Bandwidth(level, size, _measure_read(target, threads, size)))
    return Roofline(threads, fma, tuple(bandwidths))


def working_sets(threads: int) -> dict[str, int]:
    """Return the bytes each thread reads over and over to measure each level.

    Half of a private cache; of the shared L3 half of a thread's share; for DRAM four times L3.
    """
    host = detect_host()
    l1 = host.l1d_bytes or _DEFAULT_BYTES["L1"]
    l2 = host.l2_bytes or _DEFAULT_BYTES["L2"]
    l3 = host.l3_bytes or _DEFAULT_BYTES["L3"]
    sizes = {"L1": l1 // 2, "L2": l2 // 2, "L3": max(l3 // 2 // threads, l2), "DRAM": 4 * l3}
    grain = _ACCUMULATORS * _LINE_BYTES
    return {level: size // grain * grain for level, size in sizes.items()}


def _measure_fma(target: CpuTarget, threads: int) -> float:
    lanes = target.lanes()

    def body() -> None:
        factors = argument("factors", (2, lanes))
        out = argument("out", (threads, _ACCUMULATORS * lanes))
        with parallel(threads, "fma") as thread:
            acc = Registers(_ACCUMULATORS, lanes)
            acc.fill(0.0)
            with serial(0, _FMA_ROUNDS):
                for index in range(_ACCUMULATORS):
                    scale, shift = (load(factors, [row, 0], lanes) for row in range(2))
                    acc[index] = acc[index] * scale + shift
            for index in range(_ACCUMULATORS):
                store(out, acc[index], [thread, index * lanes], lanes)

    factors = np.stack([np.full(lanes, 0.5), np.ones(lanes)]).astype(np.float32)
    out = np.zeros((threads, _ACCUMULATORS * lanes), np.float32)
    seconds = _fastest(body, target, factors, out)
    return 2 * lanes * _ACCUMULATORS * _FMA_ROUNDS * threads / seconds / 1e9


def _measure_read(target: CpuTarget, threads: int, size_bytes: int) -> float:
    lanes = target.lanes()
    values = size_bytes // 4
    passes = max(1, _READ_BYTES // size_bytes)
    stride = _ACCUMULATORS * lanes

    def body() -> None:
        data = argument("data", (threads, values))
        out = argument("out", (threads, stride))
        with parallel(threads, "read") as thread:
            acc = Registers(_ACCUMULATORS, lanes)
            acc.fill(0.0)
            with serial(0, passes), serial(0, values // stride) as block:
                for index in range(_ACCUMULATORS):
                    place = [thread, block * stride + index * lanes]
                    acc[index] = acc[index] + load(data, place, lanes)
            for index in range(_ACCUMULATORS):
                store(out, acc[index], [thread, index * lanes], lanes)

    data = np.ones((threads, values), np.float32)
    seconds = _fastest(body, target, data, np.zeros((threads, stride), np.float32))
    read_bytes = 4 * threads * (values // stride * stride) * passes
    return read_bytes / seconds / 1e9


def _fastest(body: Callable[[], None], target: CpuTarget, *arrays: Any) -> float:
    """Return the least of several times in seconds: a limit is what is reached at best."""
    function = prim_func(body).with_attr("global_symbol", "limit")
    library = tvm.compile(tvm.IRModule({"limit": function}), target=tvm_target(target))
    timer = library.mod.time_evaluator("limit", tvm.cpu(), number=1, repeat=_REPEATS)
    return float(min(timer(*(tvm.runtime.tensor(array) for array in arrays)).results))
