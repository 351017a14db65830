"""Remove operations that change nothing and merge chains of reshapes and transposes."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Emit, Expr
from tvm_sparse.ir.expressions import op_name, permutation, scalar_value, tensor_shape

# Operator to the operand positions where a scalar leaves the other operand as it is.
_NEUTRAL = {
    "relax.add": (0.0, (0, 1)),
    "relax.subtract": (0.0, (1,)),
    "relax.multiply": (1.0, (0, 1)),
    "relax.divide": (1.0, (1,)),
}


def simplify_identity(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return what `call` simplifies to, or None."""
    name = op_name(call)
    if name == "relax.reshape":
        return _reshape(flow, call)
    if name == "relax.permute_dims":
        return _transpose(flow, call)
    if name == "relax.astype":
        unchanged = str(call.args[0].ty.dtype) == str(call.ty.dtype)
        return flow.resolve(call.args[0]) if unchanged else None
    if name == "relax.nn.softmax":
        return _softmax(flow, call)
    if name in _NEUTRAL:
        return _neutral(flow, call)
    return None


def _reshape(flow: Dataflow, call: relax.Call) -> Expr | None:
    source = flow.resolve(call.args[0])
    inner = flow.match(source, "relax.reshape")
    if inner is not None:
        source = flow.resolve(inner.args[0])
    if tensor_shape(source) == tensor_shape(call):
        return source
    return relax.op.reshape(source, tensor_shape(call)) if inner is not None else None


def _transpose(flow: Dataflow, call: relax.Call) -> Expr | None:
    source, axes = flow.resolve(call.args[0]), permutation(call)
    inner = flow.match(source, "relax.permute_dims")
    if inner is not None:
        first = permutation(inner)
        source, axes = flow.resolve(inner.args[0]), [first[axis] for axis in axes]
    if axes == sorted(axes):
        return source
    return relax.op.permute_dims(source, axes) if inner is not None else None


def _softmax(flow: Dataflow, call: relax.Call) -> Expr | None:
    """Softmax does not see a number added to all of its input; TF models add 1e-9."""
    shifted = flow.match(call.args[0], "relax.add")
    if shifted is None:
        return None
    for scalar, data in (shifted.args, reversed(shifted.args)):
        number = scalar_value(scalar)
        # A large number is left alone: taken from a mask, it could be there to cancel another.
        if number is not None and abs(number) < 1 and tensor_shape(data) == tensor_shape(call):
            return relax.op.nn.softmax(flow.resolve(data), int(call.attrs.axis))
    return None


def _neutral(flow: Dataflow, call: relax.Call) -> Expr | None:
    neutral, positions = _NEUTRAL[op_name(call)]
    for position in positions:
        other = flow.resolve(call.args[1 - position])
        same_shape = tensor_shape(other) == tensor_shape(call)
        if same_shape and scalar_value(call.args[position]) == neutral:
            return other
    return None
