"""Watch the kernel calls of a loaded model: their times and their results.

TVM's virtual machine calls an instrument before and after every call it makes. Kernels are told
from its own built-ins by name, counted, and matched with the calls listed in the metadata.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_sparse.errors import ArtifactError
from tvm_sparse.runtime.metadata import KernelCall
from tvm_sparse.runtime.tvm_runtime import load_tvm_ffi

if TYPE_CHECKING:
    from tvm_sparse.runtime.artifact import LoadedModel

_BUILTIN_PREFIX = "vm."


@dataclass(frozen=True)
class ProfiledCall:
    """Median time of one kernel call, in milliseconds."""

    index: int
    kernel: str
    layer: str
    latency_ms: float


def measure_calls(
    model: LoadedModel, inputs: Mapping[str, np.ndarray[Any, Any]], repeats: int = 10
) -> list[ProfiledCall]:
    """Time every kernel call of one inference.

    Parameters
    ----------
    model : LoadedModel
        What to run.
    inputs : mapping of str to numpy.ndarray
        Its inputs.
    repeats : int
        Inferences that are timed, at least 1; one more is run before them.

    Returns
    -------
    list of ProfiledCall
        In order of the calls; `latency_ms` is the median over the repeats. The watching itself
        adds some microseconds to each call.

    Raises
    ------
    InputError
        If an input does not fit the model.
    ArtifactError
        If the metadata lists other kernel calls than are made.
    """
    if repeats < 1:
        raise ValueError(f"repeats {repeats} given: it must be at least 1")
    names: list[str] = []
    elapsed_ns: list[int] = []
    start = 0

    def watch(_func: Any, name: str, before: bool, _result: Any, *_args: Any) -> None:
        nonlocal start
        now = time.perf_counter_ns()
        if name.startswith(_BUILTIN_PREFIX):
            return
        if before:
            names.append(name)
            start = time.perf_counter_ns()
        else:
            elapsed_ns.append(now - start)

    run = _watched(model, inputs, watch)
    run()
    calls = _match_calls(model, names)
    elapsed_ns.clear()
    for _ in range(repeats):
        run()
    medians = np.median(np.asarray(elapsed_ns).reshape(repeats, len(calls)), axis=0) / 1e6
    return [
        ProfiledCall(call.index, call.kernel, call.layer, float(latency_ms))
        for call, latency_ms in zip(calls, medians, strict=True)
    ]


def trace_calls(
    model: LoadedModel,
    inputs: Mapping[str, np.ndarray[Any, Any]],
    observe: Callable[[KernelCall, np.ndarray[Any, Any]], None],
) -> None:
    """Run once and hand every kernel call's result to `observe`.

    Parameters
    ----------
    model : LoadedModel
        What to run.
    inputs : mapping of str to numpy.ndarray
        Its inputs.
    observe : callable
        Gets the call and its result in the layout the kernels use; the array is only valid
        during the call.

    Raises
    ------
    InputError
        If an input does not fit the model.
    ArtifactError
        If the metadata lists other kernel calls than are made.
    """
    # Once unwatched by the caller, so that labels are checked before anything is observed.
    names: list[str] = []

    def count(_func: Any, name: str, before: bool, _result: Any, *_args: Any) -> None:
        if before and not name.startswith(_BUILTIN_PREFIX):
            names.append(name)

    _watched(model, inputs, count)()
    calls = iter(_match_calls(model, names))

    def watch(_func: Any, name: str, before: bool, _result: Any, *args: Any) -> None:
        if not before and not name.startswith(_BUILTIN_PREFIX):
            # A compiled kernel writes into the last of its arguments.
            observe(next(calls), np.from_dlpack(args[-1]))

    _watched(model, inputs, watch)()


def _watched(
    model: LoadedModel, inputs: Mapping[str, np.ndarray[Any, Any]], watch: Callable[..., None]
) -> Callable[[], Any]:
    """Return a call of the model on a virtual machine of its own that reports to `watch`."""
    arguments = model.arguments(inputs)
    machine = model.machine(fresh=True)
    machine["set_instrument"](load_tvm_ffi().convert(watch))
    function = machine[model.metadata.entry]

    def run(_machine: Any = machine) -> Any:
        # The default argument keeps the machine alive as long as its function is in use.
        return function(*arguments)

    return run


def _match_calls(model: LoadedModel, names: list[str]) -> tuple[KernelCall, ...]:
    """Return the metadata's calls after comparing them with the kernels that ran."""
    listed = model.metadata.calls
    if not listed:
        return tuple(KernelCall(index, name, "") for index, name in enumerate(names))
    if [call.kernel for call in listed] != names:
        raise ArtifactError(
            f"the metadata lists {len(listed)} kernel calls, the model makes {len(names)} others: "
            "the artifact is damaged, export it again"
        )
    return listed
