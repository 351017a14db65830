"""Which inputs a build takes, and how they become its micro-batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tvm_sparse.errors import InputError
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.inputs import DEFAULTS, Array, as_array, check_ids, check_names
from tvm_sparse.runtime.micro_batch import MicroBatch

#: Axes in the words of an option, and what lies along them.
_OPTIONS = {"batch": "batch", "seq_len": "seq-len"}
_UNITS = {"batch": "sequences", "seq_len": "tokens"}


@dataclass(frozen=True)
class Shapes(ABC):
    """What a build takes.

    Attributes
    ----------
    inputs, outputs : tuple of TensorSpec
        With the largest shapes, and the axes along which less may be given and returned.
    pad_id : int
        The id that stands where no token is.
    check_ids : bool
        Whether ids that the model has no row for are refused.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    pad_id: int
    check_ids: bool

    @abstractmethod
    def split(self, lengths: Sequence[int]) -> list[slice]:
        """Return which neighbouring sequences go through the model together."""

    @abstractmethod
    def pack(self, values: list[Array], places: Any, lengths: tuple[int, ...]) -> MicroBatch:
        """Return a micro-batch of inputs (sequences, most tokens) that lie in rectangles."""

    @abstractmethod
    def computed_tokens(self, lengths: Sequence[int]) -> int:
        """Return on how many tokens a run of sequences computes, padding included."""

    def padding(self, spec: TensorSpec) -> int:
        """Return what stands in an input where no token is."""
        return self.pad_id if spec is self.inputs[0] else 0

    @abstractmethod
    def check_ragged(self) -> None:
        """Refuse sequences of different lengths, where they could not share a run exactly.

        Raises
        ------
        InputError
            If they could not.
        """

    def rectangle(self, given: Mapping[str, Any], whole: bool = False) -> list[MicroBatch]:
        """Return the micro-batches of inputs (batch, seq_len), or the batch as a `whole`.

        Raises
        ------
        InputError
            If a name, shape or number is not the model's.
        """
        check_names(self.inputs, given)
        arrays = {
            spec.name: as_array(spec, given[spec.name])
            for spec in self.inputs
            if spec.name in given
        }
        batch, seq_len = self._extents(arrays)
        values = []
        for spec in self.inputs:
            value = arrays.get(spec.name)
            if value is None:
                shape = spec.shape_at(batch, seq_len)
                value = np.full(shape, DEFAULTS[spec.name], spec.dtype)
            if self.check_ids:
                check_ids(spec, value)
            values.append(value)
        lengths = (seq_len,) * batch
        result = []
        for part in [slice(0, batch)] if whole else self.split(lengths):
            cut = [
                value[tuple(part if axis == "batch" else slice(None) for axis in spec.axes)]
                for spec, value in zip(self.inputs, values, strict=True)
            ]
            result.append(self.pack(cut, part, lengths[part]))
        return result

    def ragged(
        self, sequences: Sequence[Any], more: Mapping[str, Sequence[Any]]
    ) -> list[MicroBatch]:
        """Return the micro-batches of sequences of different lengths, those alike together.

        There may be more of them than the build takes at once.

        Parameters
        ----------
        sequences : sequence of array_like
            The first input of each sequence, its ids.
        more : mapping of str to sequence of array_like
            Further inputs of each sequence.

        Raises
        ------
        InputError
            If a name, length or number is not the model's, or `check_ragged` refuses.
        """
        self.check_ragged()
        first = self.inputs[0]
        if first.name in more:
            raise InputError(f"input {first.name} is given twice: by itself and by name")
        given = {first.name: sequences, **more}
        check_names(self.inputs, given)
        specs = [spec for spec in self.inputs if spec.name in given]
        rows = {spec.name: self._rows(spec, given[spec.name]) for spec in specs}
        lengths = [len(row) for row in rows[first.name]]
        if not lengths:
            raise InputError("no sequences given: give one at least")
        for index, length in enumerate(lengths):
            self._check("seq_len", length, f"sequence {index}")
        for spec in specs:
            if [len(row) for row in rows[spec.name]] != lengths:
                raise InputError(f"input {spec.name} has other lengths than {first.name}")
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        result = []
        for part in self.split([lengths[index] for index in order]):
            chosen = order[part]
            values = self._rectangles(rows, chosen, lengths)
            result.append(self.pack(values, chosen, tuple(lengths[index] for index in chosen)))
        return result

    def _rectangles(
        self, rows: Mapping[str, list[Array]], chosen: list[int], lengths: list[int]
    ) -> list[Array]:
        """Return the inputs of some sequences, padded to the longest."""
        values = []
        shape = (len(chosen), max(lengths[index] for index in chosen))
        for spec in self.inputs:
            value = np.full(shape, self.padding(spec), spec.dtype)
            given = rows.get(spec.name)
            for row, index in zip(value, chosen, strict=True):
                row[: lengths[index]] = given[index] if given else DEFAULTS[spec.name]
            values.append(value)
        return values

    def _rows(self, spec: TensorSpec, sequences: Sequence[Any]) -> list[Array]:
        if spec.axes != ("batch", "seq_len"):
            raise InputError(f"the model takes {spec}: it has no sequences of tokens")
        rows = []
        for index, sequence in enumerate(sequences):
            what = f"input {spec.name} of sequence {index}"
            row = as_array(spec, sequence, what)
            if row.ndim != 1:
                raise InputError(f"{what} has shape {row.shape}: give it as one list of numbers")
            if self.check_ids:
                check_ids(spec, row, what)
            rows.append(row)
        return rows

    def _extents(self, arrays: Mapping[str, Array]) -> tuple[int, int]:
        """Return the batch and the length that all inputs have."""
        found: dict[str, int] = {}
        for spec in self.inputs:
            if spec.name not in arrays:
                continue
            shape = arrays[spec.name].shape
            axes = spec.axes or ("",) * len(spec.shape)
            if len(shape) != len(axes) or any(
                not axis and extent != most
                for axis, extent, most in zip(axes, shape, spec.shape, strict=True)
            ):
                raise InputError(f"input {spec.name} has shape {shape}, the build takes {spec}")
            for axis, extent in zip(axes, shape, strict=True):
                if not axis:
                    continue
                if axis not in found:
                    found[axis], owner = extent, spec.name
                    self._check(axis, extent, f"input {spec.name}")
                elif extent != found[axis]:
                    raise InputError(
                        f"input {spec.name} has {extent} {_UNITS[axis]}, {owner} has "
                        f"{found[axis]}: give all inputs the same"
                    )
        return found.get("batch", 1), found.get("seq_len", 0)

    def _check(self, axis: str, extent: int, what: str = "the batch") -> None:
        """Refuse an extent that the build was not made for."""
        most = next(
            largest
            for spec in self.inputs
            for name, largest in zip(spec.axes, spec.shape, strict=False)
            if name == axis
        )
        if extent < 1 or extent > most:
            advice = "cut it, or export the model with" if extent else "leave it out:"
            option = f"--{_OPTIONS[axis]} 1:{extent}" if extent else "it has nothing to compute"
            raise InputError(
                f"{what} has {extent} {_UNITS[axis]}, the build takes 1 to {most}: "
                f"{advice} {option}"
            )
