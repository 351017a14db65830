"""How fast the machine is at the moment, told by one kernel that is always the same.

Kernels are timed over half a minute and more, and a neighbour on a shared machine comes and goes
within: a third of the speed for some seconds, a whole core at times. What is timed beside the
reference at a bad moment can be brought to a good one's pace.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tvm

from tvm_sparse.kernels.epilogue import Epilogue
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.kernels.tiling import TokenLayout, choose_layout, dense_rows
from tvm_sparse.target import resolve_target

#: A product of BERT's, 0.5 to 2 ms: long enough for the threads to share, and mostly arithmetic.
_TOKENS, _UNITS, _DEPTH = 128, 768, 768
_CALLS = 3


def make_reference() -> tvm.tirx.PrimFunc:
    """Return the reference kernel of this machine, whatever tiles were tuned for it."""
    layout, rows = _tile()
    return make_packed_dense(layout, _UNITS, _DEPTH, rows, Epilogue())


def _tile() -> tuple[TokenLayout, int]:
    target = resolve_target()
    layout = choose_layout(1, _TOKENS, target)
    return layout, dense_rows(layout, target, (_UNITS, _DEPTH))


class Pace:
    """Times the compiled reference kernel.

    Parameters
    ----------
    reference : callable
        The compiled kernel of `make_reference`.
    """

    def __init__(self, reference: Callable[..., Any]) -> None:
        layout, rows = _tile()
        weight = (-(-_UNITS // rows), _DEPTH, rows)
        shapes = (layout.shape(_DEPTH), weight, layout.shape(_UNITS))
        self._arguments = [tvm.runtime.tensor(np.ones(shape, np.float32)) for shape in shapes]
        self._reference = reference
        reference(*self._arguments)

    def now_ms(self) -> float:
        """Return what the fastest of a few calls takes at the moment, in milliseconds."""
        samples = []
        for _ in range(_CALLS):
            start = time.perf_counter_ns()
            self._reference(*self._arguments)
            samples.append((time.perf_counter_ns() - start) / 1e6)
        return min(samples)
