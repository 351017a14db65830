"""Transposes that keep features innermost move behind what treats every row alike.

Where heads are split, models transpose first and rotate or scale then. Behind these operations the
transpose meets the one in front of attention, and both go; what is left works on tokens as they
lie.
"""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Emit, Expr
from tvm_sparse.ir.dims import dim
from tvm_sparse.ir.expressions import op_name, permutation, tensor_shape

_ELEMENTWISE = frozenset(
    f"relax.{name}" for name in ("add", "subtract", "multiply", "divide", "negative")
)


def sink_transposes(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return `permute_dims(f(x))` if `call` is f(permute_dims(x)), the last axis in its place.

    f is an element-wise operation on such tensors and ones that are broadcast, a slice, a concat
    along the last axis, or a reshape that drops an axis of extent 1 or regroups what stays in
    place.
    """
    name = op_name(call)
    if name in _ELEMENTWISE:
        return _elementwise(flow, call, emit)
    if name == "relax.strided_slice":
        return _slice(flow, call, emit)
    if name == "relax.concat":
        return _concat(flow, call, emit)
    if name == "relax.reshape":
        dropped = _dropped(flow, call, emit)
        return _regrouped(flow, call, emit) if dropped is None else dropped
    return None


def _moved(flow: Dataflow, expr: Expr) -> tuple[Expr, list[int]] | None:
    """Return (x, axes) if `expr` is a transpose of x that keeps its last axis."""
    call = flow.match(expr, "relax.permute_dims")
    if call is None:
        return None
    axes = permutation(call)
    return (flow.resolve(call.args[0]), axes) if axes[-1] == len(axes) - 1 else None


def _inverse(axes: list[int]) -> list[int]:
    return [axes.index(axis) for axis in range(len(axes))]


def _elementwise(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    shape = tensor_shape(call)
    moved = [_moved(flow, arg) for arg in call.args]
    axes = next((found[1] for found in moved if found is not None), None)
    if axes is None or len(axes) != len(shape):
        return None
    operands = []
    for arg, found in zip(call.args, moved, strict=True):
        if found is not None and found[1] == axes:
            operands.append(found[0])
            continue
        other = _unmoved(arg, axes, emit) if tensor_shape(arg) != shape else None
        if other is None:
            return None
        operands.append(other)
    result = relax.Call(call.op, operands, call.attrs, call.ty_args)
    return relax.op.permute_dims(emit(result), axes)


def _unmoved(arg: Expr, axes: list[int], emit: Emit) -> Expr | None:
    """Return an operand that is broadcast as it is for the operation before the transpose."""
    shape = tensor_shape(arg)
    if len(shape) <= 1:
        return arg
    if len(shape) != len(axes):
        return None
    if isinstance(arg, tvm.ir.GenericConst):
        array = np.ascontiguousarray(arg.value.numpy().transpose(_inverse(axes)))
        return relax.const(array, str(array.dtype))
    return emit(relax.op.permute_dims(arg, _inverse(axes)))


def _slice(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    found = _moved(flow, call.args[0])
    if found is None:
        return None
    source, axes = found
    _, sliced, *bounds = call.args
    places = [dim(axis) for axis in sliced.fields]
    if not all(isinstance(axis, int) for axis in places):
        return None
    moved = [axes[int(axis) % len(axes)] for axis in places]
    begin, end, *strides = ([dim(one) for one in part.fields] for part in bounds)
    inner = relax.op.strided_slice(source, moved, begin, end, strides[0] if strides else None)
    return relax.op.permute_dims(emit(inner), axes)


def _concat(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    fields = call.args[0].fields if isinstance(call.args[0], relax.Tuple) else []
    found = [_moved(flow, part) for part in fields]
    if not found or any(part is None or part[1] != found[0][1] for part in found if found[0]):
        return None
    sources = [part[0] for part in found if part is not None]
    axes = found[0][1] if found[0] is not None else []
    if len(sources) != len(fields) or int(call.attrs.axis) % len(axes) != len(axes) - 1:
        return None
    return relax.op.permute_dims(emit(relax.op.concat(sources, len(axes) - 1)), axes)


def _dropped(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Move a transpose behind a reshape that drops one axis of extent 1."""
    found = _moved(flow, call.args[0])
    if found is None:
        return None
    source, axes = found
    before, after = tensor_shape(call.args[0]), tensor_shape(call)
    for place in range(len(before) - 1):
        if before[place] == 1 and (*before[:place], *before[place + 1 :]) == after:
            gone = axes[place]
            shape = [extent for i, extent in enumerate(tensor_shape(source)) if i != gone]
            left = [axis - (axis > gone) for axis in axes if axis != gone]
            return relax.op.permute_dims(emit(relax.op.reshape(source, shape)), left)
    return None


def _regrouped(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Move a transpose behind a reshape of the last axes, which it leaves in their places."""
    found = _moved(flow, call.args[0])
    if found is None:
        return None
    source, axes = found
    count = 1 + max((i for i, axis in enumerate(axes) if i != axis), default=-1)
    before, after = tensor_shape(source), tensor_shape(call)
    if tensor_shape(call.args[0])[:count] != after[:count] or len(after) == count:
        return None
    shape = (*before[:count], *after[count:])
    left = [*axes[:count], *range(count, len(shape))]
    return relax.op.permute_dims(emit(relax.op.reshape(source, shape)), left)
