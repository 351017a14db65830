"""Watch the kernel calls of a loaded model: their times and their results.

TVM's virtual machine calls an instrument before and after every call it makes. Kernels are told
from its own built-ins by name, counted, and matched with the calls listed in the metadata.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tvm_sparse.errors import ArtifactError
from tvm_sparse.runtime.metadata import CallTime, KernelCall

#: Told before and after each call: (function, name, before, result, *arguments).
Watch = Callable[..., None]
#: Makes a call of a model that reports to a watch.
Watched = Callable[[Watch], Callable[[], None]]
#: Gets a kernel call and its result.
Observer = Callable[[KernelCall, "np.ndarray[Any, Any]"], None]

#: Of the machine's own calls, and of the function that computes the extents of an open build.
_BUILTIN_PREFIXES = ("vm.", "shape_func")


def measure_calls(watched: Watched, listed: Sequence[KernelCall], repeats: int) -> list[CallTime]:
    """Time every kernel call of one inference.

    Parameters
    ----------
    watched : callable
        Makes what is run.
    listed : sequence of KernelCall
        Its kernel calls, as far as they are known.
    repeats : int
        Inferences that are timed, at least 1; one more is run before them.

    Returns
    -------
    list of CallTime
        In order of the calls; `latency_ms` is the median over the repeats. The watching itself
        adds some microseconds to each call.

    Raises
    ------
    ArtifactError
        If other kernel calls are listed than are made.
    """
    if repeats < 1:
        raise ValueError(f"repeats {repeats} given: it must be at least 1")
    names: list[str] = []
    elapsed_ns: list[int] = []
    start = 0

    def watch(_func: Any, name: str, before: bool, _result: Any, *_args: Any) -> None:
        nonlocal start
        now = time.perf_counter_ns()
        if name.startswith(_BUILTIN_PREFIXES):
            return
        if before:
            names.append(name)
            start = time.perf_counter_ns()
        else:
            elapsed_ns.append(now - start)

    run = watched(watch)
    run()
    calls = _match_calls(listed, names)
    elapsed_ns.clear()
    for _ in range(repeats):
        run()
    # A batch may go through the model in parts.
    elapsed = np.asarray(elapsed_ns).reshape(repeats, -1, len(calls)).sum(axis=1)
    medians = np.median(elapsed, axis=0) / 1e6
    return [
        CallTime(**vars(call), latency_ms=float(latency_ms))
        for call, latency_ms in zip(calls, medians, strict=True)
    ]


def trace_calls(watched: Watched, listed: Sequence[KernelCall], observe: Observer) -> None:
    """Run once and hand every kernel call's result to `observe`.

    Parameters
    ----------
    watched : callable
        Makes what is run.
    listed : sequence of KernelCall
        Its kernel calls, as far as they are known.
    observe : callable
        Gets the call and its result in the layout the kernels use; the array is only valid
        during the call.

    Raises
    ------
    ArtifactError
        If other kernel calls are listed than are made.
    """
    # Once unwatched by the caller, so that labels are checked before anything is observed.
    names: list[str] = []

    def count(_func: Any, name: str, before: bool, _result: Any, *_args: Any) -> None:
        if before and not name.startswith(_BUILTIN_PREFIXES):
            names.append(name)

    watched(count)()
    calls = iter(_match_calls(listed, names))

    def watch(_func: Any, name: str, before: bool, _result: Any, *args: Any) -> None:
        if not before and not name.startswith(_BUILTIN_PREFIXES):
            # A compiled kernel writes into the last of its arguments.
            observe(next(calls), np.from_dlpack(args[-1]))

    watched(watch)()


def _match_calls(listed: Sequence[KernelCall], names: list[str]) -> Sequence[KernelCall]:
    """Return the listed calls after comparing them with the kernels that ran, once or more."""
    if not listed:
        return tuple(KernelCall(index, name) for index, name in enumerate(names))
    kernels = [call.kernel for call in listed]
    if kernels * (len(names) // len(kernels)) != names or not names:
        raise ArtifactError(
            f"the metadata lists {len(listed)} kernel calls, the model makes {len(names)} others: "
            "the artifact is damaged, export it again"
        )
    return listed
