"""What a function computes of constants and weights alone, in numpy, at the largest length.

Of an open model constants that follow from positions reach to the largest length, and a run takes
their front (`importers.positions`). Here the whole of them is computed with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.ir.dims import dim
from tvm_sparse.ir.expressions import ints, op_name, permutation, tensor_shape

#: What is computed element by element, by the names of Relax.
ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "divide": np.divide,
    "equal": np.equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_not": np.logical_not,
    "logical_or": np.logical_or,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "multiply": np.multiply,
    "negative": np.negative,
    "not_equal": np.not_equal,
    "subtract": np.subtract,
    "where": np.where,
}


@dataclass
class KnownValues:
    """Values of a function that no input has a part in.

    Attributes
    ----------
    value : mapping of Var to expression
        What each variable of the function is bound to.
    params : mapping of str to ndarray
        Its weights.
    """

    value: Mapping[relax.Var, Any]
    params: Mapping[str, np.ndarray]
    _found: dict[relax.Var, np.ndarray | None] = field(default_factory=dict)
    _weights: dict[relax.Var, set[str]] = field(default_factory=dict)

    def of(self, expr: relax.Expr) -> np.ndarray | None:
        """Return what an expression is, None if that is not known.

        It has as many axes; along those that the run decides about it reaches to the largest
        length, or one stands for all.
        """
        if isinstance(expr, tvm.ir.GenericConst):
            return np.asarray(expr.value.numpy())
        if not isinstance(expr, relax.Var):
            return None
        if expr not in self.value:
            return self.params.get(expr.name)
        if expr not in self._found:
            with np.errstate(all="ignore"):  # a mask may well be infinite
                self._found[expr] = self._computed(self.value[expr])
        return self._found[expr]

    def weights_of(self, expr: relax.Expr) -> set[str]:
        """Return the names of the weights that an expression is computed of."""
        if not isinstance(expr, relax.Var):
            return set()
        if expr not in self.value:
            return {expr.name}
        if expr not in self._weights:
            args = getattr(self.value[expr], "args", [])
            self._weights[expr] = {name for arg in args for name in self.weights_of(arg)}
        return self._weights[expr]

    def _computed(self, call: Any) -> np.ndarray | None:
        name = op_name(call).removeprefix("relax.")
        if name == "strided_slice":
            data = self.of(call.args[0])
            return None if data is None else _front(call, data)
        if name not in _MOVES and name not in ELEMENTWISE:
            return None
        parts = [part for arg in call.args for part in getattr(arg, "fields", [arg])]
        operands = [self.of(part) for part in parts if isinstance(part.ty, relax.TensorType)]
        if any(operand is None for operand in operands):
            return None
        if name in _MOVES:
            return _MOVES[name](call, *operands)
        try:
            return np.asarray(ELEMENTWISE[name](*operands)).astype(str(call.ty.dtype))
        except ValueError:  # fronts of tables that reach to different lengths
            return None


def _front(call: Any, data: np.ndarray) -> np.ndarray | None:
    """Return a slice, all of it along axes of which a run takes the front."""
    axes, begin, end, *strides = (list(map(dim, part.fields)) for part in call.args[1:])
    steps = strides[0] if strides else [1] * len(axes)
    shape = tensor_shape(call.args[0])
    index = [slice(None)] * data.ndim
    for axis, first, last, step in zip(axes, begin, end, steps, strict=True):
        at = int(axis) % data.ndim
        if isinstance(last, int) and isinstance(first, int) and isinstance(shape[at], int):
            index[at] = slice(first, last, step)
        elif first != 0 or step != 1:
            return None
    return data[tuple(index)]


def _reshaped(call: Any, data: np.ndarray) -> np.ndarray | None:
    """Return a reshape that leaves the axes that a run decides about as they are."""
    before, after = tensor_shape(call.args[0]), tensor_shape(call)
    if all(isinstance(extent, int) for extent in (*before, *after)):
        return data.reshape(after)
    kept = [n for n, extent in zip(data.shape, before, strict=True) if extent != 1]
    if [n for n in before if n != 1] != [n for n in after if n != 1]:
        return None
    extents = iter(kept)
    return data.reshape([1 if extent == 1 else next(extents) for extent in after])


def _broadcast(call: Any, data: np.ndarray) -> np.ndarray:
    return data.reshape((1,) * (len(tensor_shape(call)) - data.ndim) + data.shape)


def _taken(call: Any, data: np.ndarray, indices: np.ndarray) -> np.ndarray:
    axis = None if call.attrs.axis is None else int(call.attrs.axis)
    return np.take(data, indices, axis, mode="clip")


def _joined(call: Any, *parts: np.ndarray) -> np.ndarray | None:
    """Return parts one after another; fronts of tables would not be those of the whole."""
    axis = int(call.attrs.axis or 0)
    whole = np.concatenate(parts, axis)
    return whole if whole.shape[axis] == tensor_shape(call)[axis] else None


def _padded(call: Any, data: np.ndarray) -> np.ndarray | None:
    if str(call.attrs.pad_mode) != "constant":
        return None
    widths = np.reshape(ints(call.attrs.pad_width), (-1, 2))
    whole = np.pad(data, widths, constant_values=float(call.attrs.pad_value))
    return whole if whole.shape == tensor_shape(call) else None


def _squeezed(call: Any, data: np.ndarray) -> np.ndarray:
    axes = call.attrs.axis
    return np.squeeze(data, None if axes is None else tuple(ints(axes)))


_MOVES: dict[str, Callable[..., np.ndarray | None]] = {
    "astype": lambda call, data: data.astype(str(call.ty.dtype)),
    "broadcast_to": _broadcast,
    "concat": _joined,
    "expand_dims": lambda call, data: np.expand_dims(data, tuple(ints(call.attrs.axis))),
    "nn.pad": _padded,
    "permute_dims": lambda call, data: data.transpose(permutation(call)),
    "reshape": _reshaped,
    "squeeze": _squeezed,
    "take": _taken,
}
