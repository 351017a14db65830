"""Find convolutions along the tokens of a sequence, however a framework writes them.

A depthwise convolution weighs neighbouring tokens by feature. A dynamic one (ConvBERT's) multiplies
what an unfolding lays side by side by a softmax that each token brings along. Each framework has
moves of its own around them, so they are not matched one by one: the places that values come from
are computed in numpy, and have to be those of a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.ir.expressions import ints, op_name, scalar_value, tensor_shape
from tvm_sparse.ir.functions import Uses, bindings
from tvm_sparse.passes.known_values import KnownValues

_TURNS = {"relax.reshape", "relax.permute_dims", "relax.expand_dims", "relax.squeeze"}


@dataclass(frozen=True)
class TokenSum:
    """A convolution along tokens.

    Attributes
    ----------
    data : Var
        What is summed, (batch, seq_len, features).
    taps, before : int
        Tokens that are summed, and how many of them are in front of the token itself.
    weight : (str, ndarray) or None
        Of a depthwise convolution: the name of the weight, and (features, taps).
    logits : Var or None
        Of a dynamic one: what the softmax is taken of, (batch, seq_len, groups * taps).
    members : tuple of Var
        What is computed, the last one the result.
    """

    data: relax.Var
    taps: int
    before: int
    weight: tuple[str, np.ndarray] | None
    logits: relax.Var | None
    members: tuple[relax.Var, ...]


def find_token_sums(
    func: relax.Function, uses: Uses, known: KnownValues
) -> dict[relax.Var, TokenSum]:
    """Find convolutions along tokens by their results; of an open function there are none."""
    found: dict[relax.Var, TokenSum] = {}
    for binding in bindings(func):
        name = op_name(binding.value).removeprefix("relax.")
        one = None
        if name in ("nn.conv1d", "nn.conv2d"):
            one = _depthwise(binding, uses, known)
        elif name == "matmul":
            one = _dynamic(binding, uses)
        if one is not None:
            found[one.members[-1]] = one
    return found


def _depthwise(binding: relax.Binding, uses: Uses, known: KnownValues) -> TokenSum | None:
    call = binding.value
    attrs, of_data, of_kernel = call.attrs, *_layouts(call)
    found, weight = _traced(call.args[0], uses), known.of(call.args[1])
    names = sorted(known.weights_of(call.args[1]))
    if found is None or weight is None or len(names) != 1:
        return None
    data, places = found
    shape, order = tensor_shape(data), [of_data.index(axis) for axis in "NHWC" if axis in of_data]
    if len(shape) != 3 or not _is_line(places.transpose(order), _numbered(shape)):
        return None
    taps, spatial = weight.shape[of_kernel.index("W")], len(of_data) - 2
    padding = ints(attrs.padding)
    before, behind = padding[spatial - 1], padding[-1]
    if (
        int(attrs.groups) != shape[2]
        or weight.size != shape[2] * taps
        or (before + behind, sum(padding)) != (taps - 1, taps - 1)
        or {*ints(attrs.strides), *ints(attrs.dilation)} != {1}
    ):
        return None
    # The result is where the tokens of the convolution are.
    members = _until(shape, binding.var, uses)
    moved = _traced(members[-1], uses, binding.var) if members else None
    if moved is None or not _is_line(
        _numbered(tensor_shape(binding.var)).transpose(order), moved[1]
    ):
        return None
    axes = [of_kernel.index(axis) for axis in "OIHW" if axis in of_kernel]
    rows = np.ascontiguousarray(weight.transpose(axes).reshape(shape[2], taps))
    return TokenSum(data, taps, before, (names[0], rows), None, tuple(members))


def _layouts(call: relax.Call) -> tuple[str, str]:
    return str(call.attrs.data_layout), str(call.attrs.kernel_layout)


def _until(shape: Any, var: relax.Var, uses: Uses) -> list[relax.Var]:
    """Return a variable and what moves it, and nothing else, to a shape; empty if nothing does."""
    members = [var]
    while tensor_shape(members[-1]) != shape:
        reader = uses.only_reader(members[-1])
        if reader is None or op_name(uses.value[reader]) not in _TURNS:
            return []
        members.append(reader)
    return members


def _dynamic(binding: relax.Binding, uses: Uses) -> TokenSum | None:
    unfolded, weights = binding.value.args
    reader = uses.only_reader(binding.var)
    if tensor_shape(binding.var)[-1] != 1 or reader is None:
        return None
    if op_name(uses.value[reader]) != "relax.reshape":
        return None
    found, chosen = _traced(unfolded, uses), _traced(weights, uses)
    softmax: Any = None if chosen is None else uses.value.get(chosen[0])
    if found is None or chosen is None or op_name(softmax) != "relax.nn.softmax":
        return None
    normed = _traced(softmax.args[0], uses)
    if normed is None or len(tensor_shape(unfolded)) != 3:
        return None
    (data, places), (logits, of_groups) = found, _unshifted(normed, uses)
    rows, size, taps = map(int, tensor_shape(unfolded))
    shape = tensor_shape(data)
    if len(shape) != 3 or int(np.prod(shape)) != rows * size or shape[2] % size:
        return None
    groups = int(shape[2]) // size
    if tensor_shape(reader) not in (shape, (*shape[:2], groups, size)):
        return None
    before = _window(places, (*shape[:2], groups, size, taps))
    # Each row of weights is the softmax over the taps of one group.
    along = np.moveaxis(of_groups, int(softmax.attrs.axis), -1)
    is_by_group = along.shape[-1] == taps and not np.ptp((along - 1) // taps, axis=-1).any()
    picked = of_groups.reshape(-1)[chosen[1] - 1]
    if before is None or not is_by_group or tensor_shape(logits) != (*shape[:2], groups * taps):
        return None
    if not np.array_equal(picked, _numbered((rows, taps, 1))):
        return None
    return TokenSum(data, taps, before, None, logits, (binding.var, reader))


def _window(places: np.ndarray, shape: tuple[int, ...]) -> int | None:
    """Return the taps in front of a token if places are those of windows, else None."""
    *tokens, taps = shape
    before = int(np.argmax(places.reshape(-1, taps)[0] > 0))
    line = np.pad(_numbered(tokens), ((0, 0), (before, taps - 1 - before), (0, 0), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(line, taps, axis=1)
    return before if np.array_equal(places.reshape(shape), windows) else None


def _is_line(places: np.ndarray, wanted: np.ndarray) -> bool:
    """Return whether places of (batch, height, width, channels) are those of tokens, in order."""
    is_line = places.shape[-2:] == wanted.shape[1:] and places.size == wanted.size
    return is_line and np.array_equal(places.reshape(wanted.shape), wanted)


def _numbered(shape: Any) -> np.ndarray:
    """Return the places of values, counted from 1: 0 is what was not there."""
    return np.arange(1, int(np.prod(shape)) + 1, dtype=np.int32).reshape(shape)


def _traced(
    expr: relax.Expr, uses: Uses, source: relax.Var | None = None
) -> tuple[relax.Var, np.ndarray] | None:
    """Return the one variable that an expression moves values of, and the place of each there.

    Where no source is given, it is what is not moved itself. None if there are several, or shapes
    are open.
    """
    sources: set[relax.Expr] = set()
    waiting, seen = [expr], set()
    while waiting:
        one = waiting.pop()
        value: Any = uses.value.get(one) if isinstance(one, relax.Var) and one != source else None
        if one in seen:
            continue
        seen.add(one)
        if not _is_move(value):
            sources.add(one)
        elif op_name(value) == "relax.concat":
            waiting.extend(value.args[0].fields)
        else:
            waiting.append(value.args[0])
    if len(sources) != 1:
        return None
    (found,) = sources
    shape = tensor_shape(found)
    if not isinstance(found, relax.Var) or not all(isinstance(extent, int) for extent in shape):
        return None
    value_of = {var: value for var, value in uses.value.items() if var != found}
    places = KnownValues(value_of, {found.name: _numbered(shape)}).of(expr)
    return None if places is None else (found, places)


def _is_move(call: Any) -> bool:
    """Return whether a call moves values of one tensor, and puts zeros beside them at most."""
    name = op_name(call)
    if name == "relax.take":
        return isinstance(call.args[1], tvm.ir.GenericConst)
    if name == "relax.nn.pad":
        return str(call.attrs.pad_mode) == "constant" and float(call.attrs.pad_value) == 0
    if name == "relax.concat":
        return isinstance(call.args[0], relax.Tuple)
    return name in _TURNS or name == "relax.strided_slice"


def _unshifted(traced: tuple[relax.Var, np.ndarray], uses: Uses) -> tuple[relax.Var, np.ndarray]:
    """Look through the addition of one number to all, which changes no softmax."""
    var, places = traced
    value: Any = uses.value.get(var)
    if op_name(value) == "relax.add" and scalar_value(value.args[1]) is not None:
        inner = _traced(value.args[0], uses)
        if inner is not None and inner[1].shape == tensor_shape(var):
            return inner[0], inner[1].reshape(-1)[places - 1]
    return traced
