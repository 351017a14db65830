"""How fast the machine is at the moment, told by one kernel that is always the same.

Kernels are timed over half a minute and more, and a neighbour on a shared machine comes and goes
within: a third of the speed for some milliseconds or seconds, a whole core at times. The reference
kernel is called between the calls of another, every few milliseconds; what counts are the calls
between two at which the machine was at its best.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm

from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.token_layout import TokenLayout, choose_layout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.target import resolve_target

#: A product of BERT's, 0.5 to 2 ms: long enough for the threads to share, and mostly arithmetic.
_TOKENS, _UNITS, _DEPTH = 128, 768, 768
#: Looks at the clock in the beginning, a second in all, to see the machine at its best.
_FIRST_LOOKS, _BETWEEN_LOOKS_S = 20, 0.05
#: What the reference may take at a good moment, over what it took at best.
_GOOD_MOMENT = 1.05
#: Calls between two of the reference go on for so long.
_SLICE_S = 0.002
#: Calls at good moments that are enough, together with their time.
_LEAST_CALLS, _LEAST_S = 10, 0.02
#: Waiting for good moments ends after so long; then the better half has to do.
_MOST_S = 0.6
#: Where the kernel before waited in vain, so many slices do.
_ENOUGH_SLICES = 20


def make_reference() -> tvm.tirx.PrimFunc:
    """Return the reference kernel of this machine, whatever tiles were tuned for it."""
    layout, rows = _tile()
    return make_packed_dense(layout, _UNITS, _DEPTH, rows, Epilogue())


def _tile() -> tuple[TokenLayout, int]:
    target = resolve_target()
    layout = choose_layout(1, _TOKENS, target)
    return layout, DenseFormat.choose(ProductShape(_UNITS, _DEPTH, layout), target).rows


@dataclass(frozen=True)
class _Slice:
    """Times of calls in milliseconds, and of the slower of the reference's before and after."""

    calls_ms: list[float]
    reference_ms: float


class Pace:
    """Times kernels beside the compiled reference; `best_ms` is the least that one ever took."""

    def __init__(self, reference: Callable[..., Any]) -> None:
        layout, rows = _tile()
        weight = (-(-_UNITS // rows), _DEPTH, rows)
        shapes = (layout.shape(_DEPTH), weight, layout.shape(_UNITS))
        self._arguments = [tvm.runtime.tensor(np.ones(shape, np.float32)) for shape in shapes]
        self._reference = reference
        self.best_ms = float("inf")
        self._stays_busy = False
        for _ in range(_FIRST_LOOKS):
            time.sleep(_BETWEEN_LOOKS_S)
            self._look_ms()

    def measure_ms(
        self, call: Callable[..., Any], argument_sets: Sequence[Sequence[Any]]
    ) -> tuple[float, float]:
        """Time a kernel at good moments, its argument sets taking turns.

        Returns
        -------
        time_ms : float
            Median of its calls at good moments, or at the best there were.
        reference_ms : float
            What the reference took beside them.
        """
        turns = itertools.cycle(argument_sets)
        # One call wakes the threads and loads the code.
        call(*next(turns))
        slices: list[_Slice] = []
        begin_s = time.perf_counter()
        before_ms = self._look_ms()
        while True:
            calls_ms = _slice(call, turns)
            after_ms = self._look_ms()
            slices.append(_Slice(calls_ms, max(before_ms, after_ms)))
            before_ms = after_ms
            good = [s for s in slices if s.reference_ms <= _GOOD_MOMENT * self.best_ms]
            times_ms = [ms for s in good for ms in s.calls_ms]
            if len(times_ms) >= _LEAST_CALLS and sum(times_ms) / 1e3 >= _LEAST_S:
                self._stays_busy = False
                break
            is_long = time.perf_counter() - begin_s > _MOST_S and len(slices) > 1
            if is_long or (self._stays_busy and len(slices) >= _ENOUGH_SLICES):
                self._stays_busy = True
                good = sorted(slices, key=lambda s: s.reference_ms)[: len(slices) // 2]
                times_ms = [ms for s in good for ms in s.calls_ms]
                break
        return float(np.median(times_ms)), float(np.median([s.reference_ms for s in good]))

    def _look_ms(self) -> float:
        """Time one call of the reference, in milliseconds."""
        now_ms = _call_ms(self._reference, self._arguments)
        self.best_ms = min(self.best_ms, now_ms)
        return now_ms


def _slice(call: Callable[..., Any], turns: itertools.cycle[Sequence[Any]]) -> list[float]:
    """Return the times of calls for about `_SLICE_S`, but one: the reference took its cache."""
    times_ms: list[float] = []
    begin_s = time.perf_counter()
    while time.perf_counter() - begin_s < _SLICE_S:
        times_ms.append(_call_ms(call, next(turns)))
    return times_ms[1:] or times_ms


def _call_ms(call: Callable[..., Any], arguments: Sequence[Any]) -> float:
    start_ns = time.perf_counter_ns()
    call(*arguments)
    return (time.perf_counter_ns() - start_ns) / 1e6
