"""Kernels are timed in a child process: the number of threads of TVM's pool is decided once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm_sparse.processes.child import OnEvent, call
from tvm_sparse.progress import silent


def time_kernels(
    module: str, request: Mapping[str, Any], threads: int, on_event: OnEvent = silent
) -> Any:
    """Have a module of this room carry out a request in a child process; return its result.

    The request is JSON-ready, as the module says, and so is what `on_event` receives on the way.
    Raises BuildError if the process dies.
    """
    # Bound as in the benchmark's workers, whose builds the kernels stand for.
    environment = {"TVM_NUM_THREADS": str(threads), "TVM_BIND_THREADS": "0"}
    name = f"tvm_sparse.tuning.{module}"
    return call(name, "times kernels", request, environment, on_event)
