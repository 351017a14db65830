"""How an ATen operator becomes Relax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

#: `emit(emitter, node, **arguments)` returns the result, or a list of several.
Emit: TypeAlias = Callable[..., Any]
#: `fold(node, **arguments)` computes the same in numpy, where every tensor is known.
Fold: TypeAlias = Callable[..., Any]


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
    """

    emit: Emit
    fold: Fold | None = None
