"""Sequences that go through a model together, and where they belong in the whole batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.inputs import Array


@dataclass(frozen=True)
class MicroBatch:
    """Sequences that go through a model together.

    Attributes
    ----------
    arguments : list of ndarray
        What the compiled function takes before the weights.
    places : slice or ndarray of int
        Of the sequences in the batch.
    lengths : tuple of int
        Their tokens.
    """

    arguments: list[Array]
    places: Any
    lengths: tuple[int, ...]

    def within(self, spec: TensorSpec) -> tuple[Any, ...]:
        """Return where a tensor that the function returned has what was asked for."""
        return _indices(spec, slice(0, len(self.lengths)), slice(0, max(self.lengths)))

    def place(self, spec: TensorSpec) -> tuple[Any, ...]:
        """Return where that belongs in the tensor of the whole batch."""
        return _indices(spec, self.places, slice(None))

    def of_sequence(self, spec: TensorSpec, index: int) -> tuple[Any, ...]:
        """Return where a tensor that the function returned has one of the sequences."""
        return _indices(spec, index, slice(0, self.lengths[index]))


def _indices(spec: TensorSpec, batch: Any, seq_len: Any) -> tuple[Any, ...]:
    chosen = {"batch": batch, "seq_len": seq_len}
    return tuple(chosen.get(axis, slice(None)) for axis in spec.axes)
