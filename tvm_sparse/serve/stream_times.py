"""How many texts a second several runs at a time take: `python -m tvm_sparse.serve.stream_times`.

A process of its own measures, before the server begins: it leaves no threads and no memory behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.processes.serve import Report, serve
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.runtime.streams import Streams, runs_per_s
from tvm_sparse.serve.backends.backend import Build
from tvm_sparse.serve.backends.registry import backend_of

_ROUNDS, _ROUND_S = 3, 0.2
_TOKENS = 128


def handle(request: dict[str, Any], _report: Report) -> list[float]:
    """Return the runs a second for each number of streams.

    Parameters
    ----------
    request : dict
        `directory` of an artifact, and `streams`: pairs of how many, and of the threads of each.
    """
    directory = Path(request["directory"])
    metadata = load_metadata(directory)
    load = backend_of(metadata).load
    models = [load(directory, threads) for _, threads in request["streams"]]
    rates = [0.0] * len(models)
    for _ in range(_ROUNDS):  # in turns: what else the machine does slows all alike
        for index, (streams, _) in enumerate(request["streams"]):
            rates[index] = max(rates[index], _rate(models[index], streams))
    return rates


def _rate(model: Build, streams: int) -> float:
    """Return the runs a second of so many threads that run a model all the time."""
    inputs = {
        spec.name: np.zeros(
            (1, min(_TOKENS, spec.shape[1])) if spec.is_open else spec.shape, spec.dtype
        )
        for spec in model.inputs
    }
    # Threads of requests keep to no cores.
    with Streams(lambda: lambda: model.run(**inputs), [()] * streams) as threads:
        return runs_per_s(threads.saturate(_ROUND_S, drop=1))


if __name__ == "__main__":
    serve(handle)
