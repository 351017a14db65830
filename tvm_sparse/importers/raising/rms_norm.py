"""RMS normalisation over the last axis, written out, becomes one op."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Emit, Expr
from tvm_sparse.ir.expressions import ints, op_name, scalar_value, tensor_shape


def raise_rms_norm(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return `nn.rms_norm(x, gamma, axes=[-1])` if `call` computes it.

    That is gamma * x / sqrt(mean(x^2) + epsilon), with the square and the root written in any of
    their ways.
    """
    if op_name(call) != "relax.multiply":
        return None
    shape = tensor_shape(call)
    for gamma, normalized in (call.args, call.args[::-1]):
        if tensor_shape(gamma) != shape[-1:]:
            continue
        found = _normalized(flow, normalized)
        if found is not None and tensor_shape(found[0]) == shape:
            return relax.op.nn.rms_norm(found[0], gamma, axes=[-1], epsilon=found[1])
    return None


def _normalized(flow: Dataflow, expr: Expr) -> tuple[Expr, float] | None:
    """Return (x, epsilon) if `expr` is x / sqrt(mean(x^2) + epsilon)."""
    product = flow.match(expr, "relax.multiply")
    if product is not None:
        for x, inverse in (product.args, product.args[::-1]):
            root = flow.match(inverse, "relax.rsqrt")
            epsilon = None if root is None else _epsilon(flow, root.args[0], x)
            if epsilon is not None:
                return flow.resolve(x), epsilon
    quotient = flow.match(expr, "relax.divide")
    root = None if quotient is None else flow.match(quotient.args[1], "relax.sqrt")
    if quotient is None or root is None:
        return None
    epsilon = _epsilon(flow, root.args[0], quotient.args[0])
    return None if epsilon is None else (flow.resolve(quotient.args[0]), epsilon)


def _epsilon(flow: Dataflow, expr: Expr, x: Expr) -> float | None:
    """Return epsilon if `expr` is the mean of x^2 over the last axis, plus epsilon."""
    for mean, number in flow.sum_of(expr):
        call, epsilon = flow.match(mean, "relax.mean"), scalar_value(number)
        if call is None or epsilon is None or call.attrs.axis is None or not call.attrs.keepdims:
            continue
        rank = len(tensor_shape(x))
        if [axis % rank for axis in ints(call.attrs.axis)] == [rank - 1] and _is_square(
            flow, call.args[0], x
        ):
            return epsilon
    return None


def _is_square(flow: Dataflow, expr: Expr, x: Expr) -> bool:
    call = flow.match(expr, "relax.multiply", "relax.square", "relax.power")
    if call is None or not flow.same(call.args[0], x):
        return False
    if op_name(call) == "relax.power":
        return scalar_value(call.args[1]) == 2
    return op_name(call) == "relax.square" or flow.same(call.args[1], x)
