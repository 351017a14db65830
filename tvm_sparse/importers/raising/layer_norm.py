"""Layer normalisation over the last axis, written out, becomes one op."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Emit, Expr
from tvm_sparse.ir.dims import Dim, product
from tvm_sparse.ir.expressions import ints, op_name, scalar_value, tensor_shape


def raise_layer_norm(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return `nn.layer_norm(x, gamma, beta, axes=[-1])` if `call` computes it.

    Two forms: x * g + (beta - mean * g) with g = gamma * rsqrt(variance + epsilon), as
    `tf.nn.batch_normalization` writes it, and (x - mean) * rsqrt(variance + epsilon) * gamma +
    beta, also around a reshape, as Keras' fused implementation leaves it.
    """
    if op_name(call) != "relax.add":
        return None
    for left, right in _both_orders(call.args):
        found = _folded_form(flow, left, right) or _plain_form(flow, left, right)
        if found is None:
            continue
        x, axes, epsilon, gamma, beta = found
        width = tensor_shape(call)[-1]
        if tensor_shape(gamma) != (width,) or tensor_shape(beta) != (width,):
            continue
        if _normalizes_rows(tensor_shape(x), axes, width):
            shape = tensor_shape(call)
            data = x if tensor_shape(x) == shape else emit(relax.op.reshape(x, shape))
            return relax.op.nn.layer_norm(data, gamma, beta, axes=[-1], epsilon=epsilon)
    return None


# (x, axes, epsilon, gamma, beta)
Found: TypeAlias = tuple[Expr, list[int], float, Expr, Expr]


def _folded_form(flow: Dataflow, scaled: Expr, shift: Expr) -> Found | None:
    product, difference = flow.match(scaled, "relax.multiply"), flow.match(shift, "relax.subtract")
    if product is None or difference is None:
        return None
    beta, moved = difference.args[0], flow.match(difference.args[1], "relax.multiply")
    if moved is None:
        return None
    for x, gain in _both_orders(product.args):
        for mean, same_gain in _both_orders(moved.args):
            gains = flow.match(gain, "relax.multiply")
            if gains is None or not flow.same(gain, same_gain):
                continue
            for inverse, gamma in _both_orders(gains.args):
                spread = _inverse_deviation(flow, inverse)
                axes = _mean_axes(flow, mean, x)
                if spread is None or axes is None or len(tensor_shape(gamma)) != 1:
                    continue
                if _is_variance(flow, spread[0], x, mean, axes):
                    return flow.resolve(x), axes, spread[1], gamma, beta
    return None


def _plain_form(flow: Dataflow, scaled: Expr, beta: Expr) -> Found | None:
    product = flow.match(scaled, "relax.multiply")
    if product is None:
        return None
    for normalized, gamma in _both_orders(product.args):
        reshaped = flow.match(normalized, "relax.reshape")
        inner = normalized if reshaped is None else reshaped.args[0]
        core = flow.match(inner, "relax.multiply", "relax.divide")
        found = None if core is None else _normalized(flow, core)
        if found is not None:
            return (*found, gamma, beta)
    return None


def _normalized(flow: Dataflow, core: relax.Call) -> tuple[Expr, list[int], float] | None:
    """Return (x, axes, epsilon) if `core` is (x - mean) / sqrt(variance + epsilon)."""
    if op_name(core) == "relax.divide":
        pairs = [(core.args[0], flow.match(core.args[1], "relax.sqrt"))]
        options = [(d, _with_epsilon(flow, root.args[0])) for d, root in pairs if root is not None]
    else:
        options = [(d, _inverse_deviation(flow, i)) for d, i in _both_orders(core.args)]
    for deviation, spread in options:
        difference = flow.match(deviation, "relax.subtract")
        if difference is None or spread is None:
            continue
        x, mean = difference.args
        axes = _mean_axes(flow, mean, x)
        if axes is not None and _is_variance(flow, spread[0], x, mean, axes):
            return flow.resolve(x), axes, spread[1]
    return None


def _inverse_deviation(flow: Dataflow, expr: Expr) -> tuple[Expr, float] | None:
    """Return (variance, epsilon) if `expr` is 1 / sqrt(variance + epsilon)."""
    root = flow.match(expr, "relax.rsqrt")
    return None if root is None else _with_epsilon(flow, root.args[0])


def _with_epsilon(flow: Dataflow, expr: Expr) -> tuple[Expr, float] | None:
    total = flow.match(expr, "relax.add")
    if total is None:
        return None
    for variance, constant in _both_orders(total.args):
        epsilon = scalar_value(constant)
        if epsilon is not None:
            return variance, epsilon
    return None


def _mean_axes(flow: Dataflow, mean: Expr, x: Expr) -> list[int] | None:
    """Return the axes if `mean` is the mean of `x` with its dimensions kept."""
    call = flow.match(mean, "relax.mean")
    if call is None or not call.attrs.keepdims or not flow.same(call.args[0], x):
        return None
    rank = len(tensor_shape(x))
    axes = call.attrs.axis
    return list(range(rank)) if axes is None else sorted(a % rank for a in ints(axes))


def _is_variance(flow: Dataflow, expr: Expr, x: Expr, mean: Expr, axes: list[int]) -> bool:
    """Return whether `expr` is the mean of (x - mean)^2 along `axes`."""
    call = flow.match(expr, "relax.mean")
    if call is None or _mean_axes(flow, expr, call.args[0]) != axes:
        return False
    squared = flow.match(call.args[0], "relax.multiply", "relax.square")
    if squared is None:
        return False
    deviations = [flow.match(arg, "relax.subtract") for arg in squared.args]
    return all(
        d is not None and flow.same(d.args[0], x) and flow.same(d.args[1], mean) for d in deviations
    )


def _normalizes_rows(shape: tuple[Dim, ...], axes: list[int], width: Dim) -> bool:
    """Return whether reducing `axes` of `shape` treats each row of `width` elements alone."""
    reduced = [i for i, extent in enumerate(shape) if extent != 1 and i in axes]
    kept = [i for i, extent in enumerate(shape) if extent != 1 and i not in axes]
    rows_first = not kept or not reduced or max(kept) < min(reduced)
    return rows_first and product(shape[i] for i in reduced) == width != 1


def _both_orders(pair: Iterable[Expr]) -> Iterator[tuple[Expr, Expr]]:
    first, second = pair
    yield first, second
    yield second, first
