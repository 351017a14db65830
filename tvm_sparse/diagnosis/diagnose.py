"""Look at this installation and this machine, and say what would go wrong."""

from __future__ import annotations

import os

from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.cache.store import Cache
from tvm_sparse.diagnosis.machine import look_at_machine
from tvm_sparse.diagnosis.places import look_at_places
from tvm_sparse.diagnosis.record import Diagnosis
from tvm_sparse.diagnosis.software import look_at_software
from tvm_sparse.host import (
    available_memory_bytes,
    cpu_quota,
    detect_host,
    known_features,
    memory_limit_bytes,
)


def diagnose(cache_dir: str | os.PathLike[str] | None = None) -> Diagnosis:
    """Tell whether this installation works on this machine, and what would go wrong.

    Nothing is written, and nothing is asked of the network.

    Parameters
    ----------
    cache_dir : path, optional
        Cache directory; by default $TVM_SPARSE_CACHE, then `cache`.
    """
    host, cache = detect_host(), Cache(cache_dir)
    sizes = [entry.size_bytes for entry in cache.ls()]
    places = look_at_places(cache.root, len(sizes), sum(sizes))
    return Diagnosis(
        environment=detect_environment(host.cores),
        cpu_features=known_features(host.features),
        memory_limit_bytes=memory_limit_bytes(),
        memory_available_bytes=available_memory_bytes(),
        cpu_quota=cpu_quota(),
        cache_dir=str(cache.root),
        cache_bytes=sum(sizes),
        findings=(*look_at_machine(host), *look_at_software(), *places),
    )
