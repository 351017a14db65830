"""What a diagnosis says of the machine: its CPU, threads, memory and load."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterator, Mapping

from tvm_sparse.aarch64 import sve_bits
from tvm_sparse.diagnosis.record import Finding
from tvm_sparse.host import (
    LEVEL_FEATURES,
    UNKNOWN_CPU,
    HostCpu,
    available_cores,
    available_memory_bytes,
    cpu_quota,
    known_features,
    memory_bytes,
    memory_limit_bytes,
)

#: Variables that change how fast or how kernels run, or where a model is looked for.
VARIABLES = (
    *("TVM_NUM_THREADS", "TVM_BIND_THREADS", "TVM_THREAD_POOL_SPIN_COUNT", "TVM_LIBRARY_PATH"),
    *("TVM_USE_RUNTIME_LIB", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "CXX", "CC"),
    *("TVM_SPARSE_CACHE", "TVM_SPARSE_TRACEBACK", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_HOME"),
)
#: Import and code generation of a BERT-base took less than this.
_MODEL_BYTES = 4 << 30


def look_at_machine(host: HostCpu) -> Iterator[Finding]:
    """Yield the findings."""
    yield look_at_cpu(host)
    yield _look_at_threads(os.environ)
    yield _look_at_memory()
    yield _look_at_load(os.getloadavg()[0])
    found = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    yield Finding("environment", "ok", " ".join(found) or "no variable set that changes anything")


def look_at_cpu(host: HostCpu) -> Finding:
    """Return whether builds for this CPU can be made, and which instruction set they use."""
    if host.isa in LEVEL_FEATURES:
        caches = ", ".join(
            f"{name} {size >> 10} kB"
            for name, size in (
                ("L1d", host.l1d_bytes),
                ("L2", host.l2_bytes),
                ("L3", host.l3_bytes),
            )
            if size
        )
        further = set(known_features(host.features)) - set(LEVEL_FEATURES[host.isa])
        vectors = sve_bits(host.features)
        long = f"SVE of {vectors} bits" if vectors else ""
        parts = (host.model, " ".join((host.isa, *sorted(further))), long, caches)
        found = ", ".join(filter(None, parts))
        if host.refused:
            refused = f"{found}, but the system does not allow {' '.join(sorted(host.refused))}"
            return Finding("cpu", "note", refused, "builds of 8 bits do without it, slower")
        return Finding("cpu", "ok", found)
    if not host.features:
        return Finding("cpu", "broken", f"{host.model}: {UNKNOWN_CPU}", "make it readable")
    return Finding(
        "cpu",
        "broken",
        f"{host.model} has none of {', '.join(LEVEL_FEATURES)}",
        "no build runs here, use another machine",
    )


def _look_at_threads(environment: Mapping[str, str]) -> Finding:
    cores, machine, quota = available_cores(), os.cpu_count() or 1, cpu_quota()
    found = f"{cores} of the machine's {machine} cores"
    if quota is not None:
        found += f", a container's quota of {quota:g}"
    most = environment.get("TVM_NUM_THREADS", "")
    if most.isdigit() and int(most) < cores:
        return Finding(
            "threads", "note", f"{found}, TVM_NUM_THREADS={most}", "unset it to use all of them"
        )
    if quota is not None and quota < cores:
        advice = (
            f"all threads stop together when it is spent: give --threads {math.floor(quota)}"
            if quota >= 1
            else "every run is stopped when it is spent: give the container a whole core"
        )
        return Finding("threads", "note", found, advice)
    return Finding("threads", "ok", found)


def _look_at_memory() -> Finding:
    free, limit = available_memory_bytes(), memory_limit_bytes()
    found = f"{_gigabytes(memory_bytes())}"
    if limit is not None:
        found += " that a container allows"
    if free is not None:
        found += f", {_gigabytes(free)} available"
    address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if address_space != resource.RLIM_INFINITY:
        return Finding(
            "memory",
            "note",
            f"{found}, ulimit -v {_gigabytes(address_space)}",
            "libraries fail in odd ways under such a limit: limit a container instead",
        )
    if min(memory_bytes(), free or memory_bytes()) < _MODEL_BYTES:
        return Finding(
            "memory",
            "note",
            found,
            "importing and compiling a model of BERT-base's size wants "
            f"{_gigabytes(_MODEL_BYTES)}, running it does not",
        )
    return Finding("memory", "ok", found)


def _look_at_load(load: float) -> Finding:
    cores = available_cores()
    if load >= cores:
        return Finding(
            "load",
            "note",
            f"{load:.2f} on {cores} cores",
            "what is measured now is unreliable, wait until the machine is quiet",
        )
    return Finding("load", "ok", f"{load:.2f} on {cores} cores")


def _gigabytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GB"
