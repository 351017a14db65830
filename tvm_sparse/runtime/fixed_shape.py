"""The inputs of a build of one shape: what is shorter is padded, and its outputs are cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tvm_sparse.errors import InputError
from tvm_sparse.model.facts import Axis, TensorSpec
from tvm_sparse.runtime.inputs import Array
from tvm_sparse.runtime.micro_batch import MicroBatch
from tvm_sparse.runtime.shapes import Shapes

_MASK = "attention_mask"


@dataclass(frozen=True)
class FixedShape(Shapes):
    """What a build of one shape takes."""

    def split(self, lengths: Sequence[int]) -> list[slice]:
        """Return as many sequences as the build is for at a time."""
        batch = self.inputs[0].shape[0] if self.inputs and self.inputs[0].axes else len(lengths)
        return [slice(n, min(n + batch, len(lengths))) for n in range(0, len(lengths), batch)]

    def pack(self, values: list[Array], places: Any, lengths: tuple[int, ...]) -> MicroBatch:
        """Return a micro-batch of inputs that are padded to the build's shape."""
        for spec in self.inputs:
            if "seq_len" in spec.axes:
                self._check_mask(spec, min(lengths))
        padded = [self._pad(spec, value) for spec, value in zip(self.inputs, values, strict=True)]
        return MicroBatch(padded, places, lengths)

    def computed_tokens(self, lengths: Sequence[int]) -> int:
        """Return the tokens of whole batches of the build's shape."""
        return len(self.split(lengths)) * math.prod(self.inputs[0].shape) if self.inputs else 0

    def check_ragged(self) -> None:
        """Refuse nothing: a mask tells what is padding, or `pack` refuses."""

    def _pad(self, spec: TensorSpec, value: Array) -> Array:
        if value.shape == spec.shape:
            return value
        padded = np.full(spec.shape, self.padding(spec), spec.dtype)
        padded[tuple(slice(0, extent) for extent in value.shape)] = value
        # Sequences that nobody asked for: any will do.
        padded[len(value) :] = padded[len(value) - 1]
        return padded

    def _check_mask(self, spec: TensorSpec, tokens: int) -> None:
        """Refuse to pad tokens where nothing would tell the model of it."""
        most = spec.shape[1]
        if tokens < most and _MASK not in (other.name for other in self.inputs):
            raise InputError(
                f"input {spec.name} has {tokens} tokens, the build is for {most} and takes no "
                f"{_MASK} that would tell padding: export the model with --seq-len 1:{most}"
            )


def with_axes(
    specs: tuple[TensorSpec, ...], batch: int, seq_len: int, of_tokens: tuple[str, ...] = ()
) -> tuple[TensorSpec, ...]:
    """Return the tensors of a build for (batch, seq_len) with the axes along which they are that.

    Parameters
    ----------
    specs : tuple of TensorSpec
        Inputs or outputs.
    batch, seq_len : int
        Shape of the build.
    of_tokens : tuple of str
        Tensors (batch, seq_len) that have one number a token; others have as many a sequence,
        only by chance.
    """
    return tuple(_with_axes(spec, batch, seq_len, of_tokens) for spec in specs)


def _with_axes(
    spec: TensorSpec, batch: int, seq_len: int, of_tokens: tuple[str, ...]
) -> TensorSpec:
    axes: list[Axis] = [""] * len(spec.shape)
    if spec.shape[:1] == (batch,):
        axes[0] = "batch"
    if spec.shape[:2] == (batch, seq_len) and (len(axes) > 2 or spec.name in of_tokens):
        axes[1] = "seq_len"
    return replace(spec, axes=tuple(axes))
