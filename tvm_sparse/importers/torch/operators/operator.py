"""How an ATen operator becomes Relax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tvm_sparse.importers.extents import is_extent

#: `emit(emitter, node, **arguments)` returns the result, or a list of several.
Emit: TypeAlias = Callable[..., Any]
#: `fold(node, **arguments)` computes the same in numpy, where every tensor is known.
Fold: TypeAlias = Callable[..., Any]
#: `by_place(node, **arguments)` says whether the front of the result follows from the front alone
#: of what is read, along all axes that the run decides about.
ByPlace: TypeAlias = Callable[..., bool]


def nowhere(node: Any, **_: Any) -> bool:
    """Say no."""
    return False


def everywhere(node: Any, **arguments: Any) -> bool:
    """Say yes, unless a number that is computed with is an extent that the run decides."""
    return not any(map(is_extent, arguments.values()))


@dataclass(frozen=True)
class Operator:
    """How one ATen operator becomes Relax.

    Parameters
    ----------
    emit : callable
        Takes the emitter, the node and its arguments by the names of PyTorch's schema, `self` and
        `input` as `x`.
    fold : callable or None
        Without it Relax ops are emitted on constants.
    by_place : callable
        Whether `fold` at the largest batch and length tells the result at all others.
    """

    emit: Emit
    fold: Fold | None = None
    by_place: ByPlace = nowhere
