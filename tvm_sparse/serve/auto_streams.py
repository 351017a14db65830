"""How many runs at a time are best on this machine, measured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from tvm_sparse.processes.child import call
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.exported import find_artifact

_MODULE = "tvm_sparse.serve.stream_times"
#: Of the best rate. More streams have each request take longer.
_ENOUGH = 0.8


def with_measured_streams(config: ServeConfig, say: Callable[[str], None]) -> ServeConfig:
    """Return a configuration that says how many streams there are, where it leaves that open.

    It is the fewest that reach 80 % of the best rate, with the largest of the models.

    Raises
    ------
    TvmSparseError
        A model cannot be exported or run.
    """
    if config.streams != "auto":
        return config
    cores = min(count for count, _ in config.shares())
    options = [n for n in range(1, cores + 1) if cores % n == 0]
    if len(options) == 1:
        return replace(config, streams=1)
    directories = [asyncio.run(find_artifact(one)) for one in config.models]
    largest = max(directories, key=lambda one: load_metadata(one).weights_bytes)
    request = {"directory": largest, "streams": [(n, cores // n) for n in options]}
    rates = call(_MODULE, "measures runs at a time", request)
    streams = choose(options, rates)
    told = ", ".join(f"{n}: {rate:.0f}" for n, rate in zip(options, rates, strict=True))
    say(f"streams: {streams} (runs a second with so many streams: {told})")
    return replace(config, streams=streams)


def choose(options: list[int], rates: list[float]) -> int:
    """Return the least of some numbers of streams whose rate is enough.

    Parameters
    ----------
    options : list of int
        In rising order.
    rates : list of float
        Runs a second with each.
    """
    enough = _ENOUGH * max(rates)
    return next(n for n, rate in zip(options, rates, strict=True) if rate >= enough)
