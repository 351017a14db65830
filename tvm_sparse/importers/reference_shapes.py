"""The shapes at which an import, and every build of it, is compared with the source's framework."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.reference_inputs import Input

#: What decides about the axes of ids and masks of an open model.
OPEN_AXES: tuple[Literal["batch", "seq_len"], ...] = ("batch", "seq_len")
#: Batches and lengths at which an open build is compared too: one token, and what no register fits.
_ODD_SHAPES = ((1, 1), (1, 7), (3, 17), (2, 48))


def reference_shapes(spec: ModelSpec) -> list[tuple[int, int]]:
    """Return the batch and length of every run, the nominal one first."""
    if not spec.is_open:
        return [spec.nominal]
    odd = [(min(batch, spec.batch), min(length, spec.seq_len)) for batch, length in _ODD_SHAPES]
    # Different ones, in order.
    return list(dict.fromkeys([spec.nominal, *odd]))


def check_open(name: str, inputs: Iterable[Input]) -> None:
    """Refuse a model that has no batch and length to leave open.

    Raises
    ------
    FrontendError
        It takes something else than texts.
    """
    if any(len(i.shape) != len(OPEN_AXES) for i in inputs):
        raise FrontendError(
            f"{name} takes images, ranges for --batch or --seq-len given: those are for "
            "texts, give one batch, --batch N"
        )
