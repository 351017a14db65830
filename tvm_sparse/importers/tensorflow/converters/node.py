"""What a converter sees: one TensorFlow node, its input values and a place to emit Relax ops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.emitter import Emitter as Emitter
from tvm_sparse.importers.extents import is_open
from tvm_sparse.ir.dims import Dim
from tvm_sparse.ir.expressions import tensor_shape

# A TensorFlow tensor during the import: known now (numpy, see `extents`) or computed at run time.
Value: TypeAlias = np.ndarray | tvm.ir.Expr


@dataclass(frozen=True)
class Node:
    """One node of the GraphDef with its attributes decoded to Python values.

    Parameters
    ----------
    name, op : str
        Node name and TF op type.
    inputs : tuple of (str, int)
        Data inputs as (node name, output number); control inputs are left out.
    attrs : dict of str to Any
        int, float, bool, str, numpy dtype name, shape tuple, or a list of these.
    """

    name: str
    op: str
    inputs: tuple[tuple[str, int], ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)

    def error(self, message: str) -> FrontendError:
        """Return an error that names this node and says what it needs."""
        return FrontendError(f"node {self.name} ({self.op}): {message}")


Emit: TypeAlias = Callable[..., Any]
Fold: TypeAlias = Callable[..., Any]


@dataclass(frozen=True)
class Converter:
    """How one TF op becomes Relax.

    Parameters
    ----------
    emit : callable
        `emit(emitter, node, *values)` returns the output value, or a list for several outputs.
    fold : callable or None
        `fold(node, *arrays)` computes the outputs in numpy when every input is known at import.
        None emits Relax ops on constants instead, as does a result `NotImplemented`, where the
        run decides about an extent.
    note : str
        Restriction or remark for the list of supported ops.
    """

    emit: Emit
    fold: Fold | None = None
    note: str = ""


def constants_only(why: str, fold: Fold, note: str = "constants only") -> Converter:
    """Return the converter of an op that is computed at import, or refused with the words `why`."""

    def refuse(emit: Emitter, node: Node, *values: Value) -> tvm.ir.Expr:
        raise node.error(why)

    return Converter(refuse, fold, note)


def shape_of(value: Value) -> tuple[Dim, ...]:
    """Return the shape of `value`."""
    if isinstance(value, np.ndarray):
        return value.shape
    return tensor_shape(value)


def dtype_of(value: Value) -> str:
    """Return the dtype name of `value`."""
    return str(value.dtype) if isinstance(value, np.ndarray) else str(value.ty.dtype)


def as_expr(value: Value) -> tvm.ir.Expr:
    """Return `value` as a Relax expression, a constant if it is known.

    Raises
    ------
    ValueError
        It holds extents that the run decides, with which no Relax op computes.
    """
    if is_open(value):
        raise ValueError("the batch or the length of the inputs given; a tensor is needed")
    # The dtype is named because `relax.const` turns 64-bit arrays into 32-bit constants.
    return relax.const(value, str(value.dtype)) if isinstance(value, np.ndarray) else value


def scalar(number: float, like: Value) -> tvm.ir.Expr:
    """Return the scalar constant `number` with the dtype of `like`."""
    return relax.const(number, dtype_of(like))


def known(node: Node, value: Value, what: str) -> np.ndarray:
    """Return `value` as an array.

    Raises FrontendError if it depends on the model's inputs: Relax wants `what` at import time.
    """
    if not isinstance(value, np.ndarray):
        raise node.error(f"its {what} depends on the inputs of the model; it must be a constant")
    return value


def known_ints(node: Node, value: Value, what: str) -> list[int]:
    """Return a constant scalar or vector as a list of Python ints (see `known`)."""
    return [int(v) for v in known(node, value, what).reshape(-1)]


def known_dims(node: Node, value: Value, what: str) -> list[Dim]:
    """Return a known vector of extents as a list (see `known`)."""
    elements = known(node, value, what).reshape(-1)
    return [int(v) if isinstance(v, np.generic) else v for v in elements]


def known_axis(node: Node, value: Value, rank: int) -> int:
    """Return a constant axis, counted from the front of `rank` dimensions (see `known`)."""
    return int(known(node, value, "axis")) % max(rank, 1)
