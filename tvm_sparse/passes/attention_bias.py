"""Take the bias of attention apart: a row for each sequence, the rest, keys that nobody sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, reduce
from typing import Any, TypeAlias

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.ir.expressions import op_name, scalar_value, tensor_shape
from tvm_sparse.kernels.attention_shape import UNBOUNDED
from tvm_sparse.passes.distance_bias import HIDDEN

#: What each variable of a function is bound to.
Bindings: TypeAlias = "Mapping[relax.Var, Any]"
#: A window that leaves out less of all pairs than this is not worth a branch.
WORTH = 0.05
#: Axes of the scores.
_HEADS, _QUERIES = 1, 2


@dataclass
class BiasTerms:
    """What is added to the scores.

    Attributes
    ----------
    rows, pairs
        Tensors of four axes whose sum is the bias: those that are the same for all heads and
        queries, and the others.
    """

    rows: list[relax.Expr] = field(default_factory=list)
    pairs: list[relax.Expr] = field(default_factory=list)


def split_bias(bias: relax.Expr, value: Bindings) -> BiasTerms:
    """Return the terms of a bias (batch, heads, queries, keys), of none broadcast ahead of time."""
    terms = BiasTerms()
    pending = [bias]
    while pending:
        term = pending.pop()
        call: Any = value.get(term)
        shape = tensor_shape(term)
        if shape[_HEADS] == shape[_QUERIES] == 1:
            terms.rows.append(term)
        elif op_name(call) == "relax.add" and all(has_four_axes(arg) for arg in call.args):
            pending.extend(call.args)
        elif op_name(call) == "relax.broadcast_to" and has_four_axes(call.args[0]):
            pending.append(call.args[0])
        else:
            terms.pairs.append(term)
    return terms


@cache
def causal_bias(seq_len: int) -> relax.Expr:
    """Return the bias (1, 1, queries, keys) that hides what comes after a query."""
    lowest = float(np.finfo(np.float32).min)
    return relax.const(np.triu(np.full((1, 1, seq_len, seq_len), lowest, np.float32), 1))


def window_of(terms: Iterable[relax.Expr], value: Bindings) -> tuple[int, int]:
    """Return the most keys in front of a query and behind it that the terms of a bias leave to it.

    `UNBOUNDED` on both sides where hardly any pair is left out.
    """
    hidden = _either(_hidden(term, value) for term in terms)
    if hidden is None:
        return UNBOUNDED, UNBOUNDED
    position = np.arange(len(hidden))
    ahead = position - position[:, None]
    before, behind = (int(np.max(side[~hidden], initial=0)) for side in (-ahead, ahead))
    if ((ahead < -before) | (ahead > behind)).mean() < WORTH:
        return UNBOUNDED, UNBOUNDED
    last = len(hidden) - 1
    return before if before < last else UNBOUNDED, behind if behind < last else UNBOUNDED


def _hidden(expr: relax.Expr, value: Bindings) -> Any:
    """Return the (queries, keys) that a bias hides whatever the inputs are, None if not known."""
    if isinstance(expr, tvm.ir.GenericConst):
        return _pairs(expr.value.numpy() < HIDDEN)
    call: Any = value.get(expr)
    name = op_name(call)
    if name in ("relax.add", "relax.minimum"):
        return _either(_hidden(arg, value) for arg in call.args)
    if name in ("relax.broadcast_to", "relax.reshape"):
        return _hidden(call.args[0], value) if _keeps_pairs(call) else None
    if name == "relax.where":
        condition, one, other = call.args
        true, false = _known(condition, value)
        if is_low(one):
            return _either((true, _hidden(other, value)))
        return _either((false, _hidden(one, value))) if is_low(other) else None
    return None


def _known(expr: relax.Expr, value: Bindings) -> tuple[Any, Any]:
    """Return the pairs for which a condition is true whatever the inputs are, and false."""
    if isinstance(expr, tvm.ir.GenericConst):
        array = expr.value.numpy().astype(bool)
        return _pairs(array), _pairs(~array)
    call: Any = value.get(expr)
    name = op_name(call)
    if name == "relax.logical_not":
        true, false = _known(call.args[0], value)
        return false, true
    if name in ("relax.logical_and", "relax.bitwise_and"):
        return None, _either(_known(arg, value)[1] for arg in call.args)
    if name in ("relax.logical_or", "relax.bitwise_or"):
        return _either(_known(arg, value)[0] for arg in call.args), None
    if name in ("relax.broadcast_to", "relax.reshape") and _keeps_pairs(call):
        return _known(call.args[0], value)
    return None, None


def _pairs(array: np.ndarray) -> np.ndarray | None:
    """Return a constant of queries and keys, None if it is not the same for all sequences."""
    shape = array.shape[-2:]
    alike = len(shape) == 2 and array.size == shape[0] * shape[1]
    return array.reshape(shape) if alike and shape[0] == shape[1] else None


def _either(found: Any) -> Any:
    arrays = [array for array in found if array is not None]
    return reduce(np.logical_or, arrays) if arrays else None


def is_low(expr: relax.Expr) -> bool:
    """Return whether a constant hides whatever it is added to."""
    number = scalar_value(expr)
    if number is None and isinstance(expr, tvm.ir.GenericConst):
        number = float(expr.value.numpy().max())
    return number is not None and number < HIDDEN


def _keeps_pairs(call: relax.Call) -> bool:
    return tensor_shape(call)[-2:] == tensor_shape(call.args[0])[-2:]


def has_four_axes(expr: relax.Expr) -> bool:
    """Return whether a tensor has all axes of the scores."""
    return len(tensor_shape(expr)) == 4
