"""Take the bias of attention of any length apart: rows of sequences, and tables of distances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from tvm import relax

from tvm_sparse.ir.expressions import op_name, scalar_value, tensor_shape
from tvm_sparse.passes.attention_bias import has_four_axes, is_low
from tvm_sparse.passes.distance_bias import HIDDEN, by_distance
from tvm_sparse.passes.known_values import ELEMENTWISE, KnownValues

_LOWEST = float(np.finfo(np.float32).min)
_RANK = 4
#: Whatever is equal along the queries stays so.
_ELEMENTWISE = frozenset({"astype", *ELEMENTWISE})
#: What gives a mask if some of its operands are masks.
_MASKS = {
    "relax.broadcast_to": slice(1),
    "relax.minimum": slice(2),
    "relax.reshape": slice(1),
    "relax.where": slice(1, 3),
}
#: Axes of the scores.
_HEADS, _QUERIES = 1, 2


@dataclass
class OpenTerms:
    """What is added to the scores of sequences of any length.

    Attributes
    ----------
    rows : list of expression
        Tensors (1 or batch, 1, 1, keys).
    known : list of ndarray
        Tensors of four axes that no input has a part in, at the largest length.
    weights : set of str
        The weights that those are computed of.
    unknown : list of expression
        What is neither.
    """

    rows: list[relax.Expr] = field(default_factory=list)
    known: list[np.ndarray] = field(default_factory=list)
    weights: set[str] = field(default_factory=set)
    unknown: list[relax.Expr] = field(default_factory=list)

    @cached_property
    def table(self) -> np.ndarray | None:
        """The known terms by distance, None if there are none or they depend on something else."""
        return by_distance(self.known) if self.known else None


class OpenSplit:
    """Takes a bias (batch, heads, queries, keys) of any length apart.

    What masks of booleans hide together, each of their parts hides by itself: so those that follow
    from positions part from those that come with the inputs. `write` emits what is computed for
    that.
    """

    def __init__(self, known: KnownValues, write: Callable[[relax.Expr], relax.Var]) -> None:
        self._known, self._value, self._write = known, known.value, write

    def __call__(self, bias: relax.Expr) -> OpenTerms:
        """Return the terms of a bias."""
        terms = OpenTerms()
        self._add(bias, terms)
        return terms

    def _add(self, term: relax.Expr, terms: OpenTerms) -> None:
        call: Any = self._value.get(term)
        name = op_name(call)
        array, row = self._known.of(term), self._row(term)
        if array is not None and array.ndim == _RANK:
            self._know(array, term, terms)
        elif row is not None:
            terms.rows.append(row)
        elif (name == "relax.add" or (name == "relax.minimum" and self._is_mask(term))) and all(
            map(has_four_axes, call.args)
        ):
            # Of two masks the lower one: hidden twice is hidden.
            for arg in call.args:
                self._add(arg, terms)
        elif name == "relax.broadcast_to" and has_four_axes(call.args[0]):
            self._add(call.args[0], terms)
        elif name == "relax.where" and is_low(call.args[2]) and _is_zero(call.args[1]):
            self._hide(call.args[0], False, terms)
        elif name == "relax.where" and is_low(call.args[1]) and _is_zero(call.args[2]):
            self._hide(call.args[0], True, terms)
        elif name == "relax.where" and is_low(call.args[1]) and has_four_axes(call.args[2]):
            self._hide(call.args[0], True, terms)
            self._add(call.args[2], terms)
        else:
            terms.unknown.append(term)

    def _know(self, array: np.ndarray, term: relax.Expr, terms: OpenTerms) -> None:
        """Add a tensor that is known; what is added to all keys alike changes no softmax."""
        if array.shape[-1] > 1:
            terms.known.append(array)
            terms.weights |= self._known.weights_of(term)

    def _is_mask(self, term: relax.Expr) -> bool:
        """Return whether all that a term adds is zero, or hides."""
        array = self._known.of(term)
        if array is not None:
            return bool(((array == 0) | (array < HIDDEN)).all())
        call: Any = self._value.get(term)
        operands = _MASKS.get(op_name(call))
        return operands is not None and all(map(self._is_mask, call.args[operands]))

    def _hide(
        self, condition: relax.Expr, where: bool, terms: OpenTerms, is_batched: bool = False
    ) -> None:
        """Add what hides the pairs for which a condition is true, or those for which it is not.

        One of three axes is of sequences, queries and keys if it `is_batched`, else of heads.
        """
        call: Any = self._value.get(condition)
        name = op_name(call).removeprefix("relax.")
        shape = tensor_shape(condition)
        array, row = self._known.of(condition), self._row(condition, is_batched)
        if array is not None and array.ndim == len(shape):
            hidden = (array.astype(bool) == where).reshape(_four_axes(array.shape, is_batched))
            self._know(np.where(hidden, _LOWEST, 0).astype(np.float32), condition, terms)
        elif row is not None:
            low, zero = relax.const(_LOWEST), relax.const(0.0)
            choice = (low, zero) if where else (zero, low)
            terms.rows.append(self._write(relax.op.where(row, *choice)))
        elif name == "logical_not":
            self._hide(call.args[0], not where, terms, is_batched)
        elif name == ("logical_or" if where else "logical_and"):
            for arg in call.args:
                self._hide(arg, where, terms, is_batched)
        elif name == "broadcast_to" and len(tensor_shape(call.args[0])) == len(shape):
            self._hide(call.args[0], where, terms, is_batched)
        elif name == "reshape" and _four_axes(tensor_shape(call.args[0]), True) == shape:
            self._hide(call.args[0], where, terms, is_batched=True)
        else:
            terms.unknown.append(condition)

    def _row(self, expr: relax.Expr, is_batched: bool = False) -> relax.Expr | None:
        """Return a tensor (1 or batch, 1, 1, keys) if an expression is one, repeated or not."""
        shape = _four_axes(tensor_shape(expr), is_batched)
        if len(shape) == _RANK and shape[_HEADS] == shape[_QUERIES] == 1:
            same = tensor_shape(expr) == shape
            return expr if same else self._write(relax.op.reshape(expr, shape))
        if is_batched or len(shape) != _RANK:
            return None
        call: Any = self._value.get(expr)
        if op_name(call) == "relax.broadcast_to":
            return self._row(call.args[0]) if has_four_axes(call.args[0]) else None
        if op_name(call).removeprefix("relax.") not in _ELEMENTWISE:
            return None
        args = [arg if _is_number(arg) else self._row(arg) for arg in call.args]
        if any(arg is None for arg in args):
            return None
        return self._write(relax.Call(call.op, args, call.attrs, call.ty_args))


def _is_zero(expr: relax.Expr) -> bool:
    return scalar_value(expr) == 0


def _is_number(expr: relax.Expr) -> bool:
    return scalar_value(expr) is not None and len(tensor_shape(expr)) <= 1


def _four_axes(shape: tuple[Any, ...], is_batched: bool) -> tuple[Any, ...]:
    """Return a shape with axes for sequences, heads, queries and keys."""
    if is_batched and len(shape) == _RANK - 1:
        return (shape[0], 1, *shape[1:])
    return (1,) * (_RANK - len(shape)) + tuple(shape)
