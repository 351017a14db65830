"""Kernels are timed in a child process: the number of threads of TVM's pool is decided once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm_sparse.processes.child import Child, OnEvent
from tvm_sparse.progress import silent


def timing_process(module: str, threads: int) -> Child:
    """Start a module of this room in a child process that times kernels."""
    # Bound as in the benchmark's workers, whose builds the kernels stand for.
    environment = {"TVM_NUM_THREADS": str(threads), "TVM_BIND_THREADS": "0"}
    return Child(f"tvm_sparse.tuning.{module}", "times kernels", environment)


def time_kernels(
    module: str, request: Mapping[str, Any], threads: int, on_event: OnEvent = silent
) -> Any:
    """Have a module of this room carry out one request in a child process; return its result.

    The request is JSON-ready, as the module says, and so is what `on_event` receives on the way.
    Raises BuildError if the process dies.
    """
    with timing_process(module, threads) as child:
        return child.ask(request, on_event)
