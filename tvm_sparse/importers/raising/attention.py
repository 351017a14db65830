"""Softmax attention, written out as two batched products, becomes one op."""

from __future__ import annotations

from typing import NamedTuple

from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Emit, Expr
from tvm_sparse.importers.raising.guards import without_guard, zero_unseeing
from tvm_sparse.importers.raising.windows import masked_windows
from tvm_sparse.ir.dims import Dim, product
from tvm_sparse.ir.expressions import op_name, permutation, scalar_value, tensor_shape

#: No score is near it.
_LOW = -1e30


class _Scores(NamedTuple):
    query: Expr  # (batch, heads, seq, head_dim)
    key: Expr  # (batch, heads, head_dim, seq_kv)
    scale: float
    biases: list[tuple[int, Expr]]


def raise_attention(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return `nn.attention` if `call` is softmax(scale * q @ k^T + bias) @ v over heads.

    The op takes and returns (batch, seq, heads, head_dim): the transposes emitted around it
    cancel with those that split the heads. The scale may stand anywhere before the softmax, and a
    guard behind it against queries that see no key, which become zero.
    """
    if op_name(call) != "relax.matmul" or len(tensor_shape(call)) not in (3, 4):
        return None
    merged = flow.match(call.args[0], "relax.reshape")
    weights = call.args[0] if merged is None else merged.args[0]
    unguarded = without_guard(flow, weights)
    softmax = flow.match(weights if unguarded is None else unguarded, "relax.nn.softmax")
    if softmax is None or int(softmax.attrs.axis) not in (-1, 3):
        return None
    shape, value = tensor_shape(softmax), call.args[1]
    if len(shape) != 4:
        return None
    if tensor_shape(call)[:-2] != shape[:2]:
        if not _merges_heads(tensor_shape(call), shape):
            return None
        value = emit(relax.op.reshape(value, (*shape[:2], *tensor_shape(value)[-2:])))
    scores = _scores(flow, emit, softmax.args[0], shape)
    if scores is None or not _shapes_agree(scores, tensor_shape(softmax), tensor_shape(value)):
        return None
    bias = _bias(emit, scores.biases, tensor_shape(softmax))
    attended = emit(
        relax.op.nn.attention(
            emit(relax.op.permute_dims(scores.query, [0, 2, 1, 3])),
            emit(relax.op.permute_dims(scores.key, [0, 3, 1, 2])),
            emit(relax.op.permute_dims(value, [0, 2, 1, 3])),
            bias=bias,
            scale=scores.scale,
        )
    )
    if unguarded is not None and bias is not None:
        attended = zero_unseeing(flow, emit, attended, bias)
    heads = relax.op.permute_dims(attended, [0, 2, 1, 3])
    return (
        heads if len(tensor_shape(call)) == 4 else relax.op.reshape(emit(heads), tensor_shape(call))
    )


def _merges_heads(merged: tuple[Dim, ...], shape: tuple[Dim, ...]) -> bool:
    """Return whether a tensor of three axes has batch and heads of four as its first."""
    return len(merged) == 3 and merged[0] == product(shape[:2])


def _scores(flow: Dataflow, emit: Emit, expr: Expr, shape: tuple[Dim, ...]) -> _Scores | None:
    """Take the input of the softmax apart into a scaled product and what is added to it.

    A bias stays one term: taking `mask * 1e9 - 1e9` apart would cost all its precision. Scores that
    are replaced by the lowest number are scores to which it is added: whatever they were is lost.
    """
    masked = flow.match(expr, "relax.where")
    if masked is not None and _is_lowest(masked.args[1]):
        condition, lowest, kept = masked.args
        found = _scores(flow, emit, kept, shape)
        if found is None:
            return None
        hidden = emit(relax.op.where(condition, lowest, relax.const(0.0)))
        return found._replace(biases=[*found.biases, (1, hidden)])
    split = flow.match(expr, "relax.reshape")
    if split is not None and _merges_heads(tensor_shape(split.args[0]), shape):
        return _split(
            flow, emit, _scores(flow, emit, split.args[0], tensor_shape(split.args[0])), shape
        )
    in_windows = masked_windows(flow, expr, shape)
    if in_windows is not None:
        found = _scores(flow, emit, in_windows[0], shape)
        return found and found._replace(biases=[*found.biases, (1, in_windows[1])])
    scale, base = flow.scaled(expr)
    product = flow.match(base, "relax.matmul")
    if product is not None and tensor_shape(base) == shape:
        query_scale, query = _unscaled(flow, emit, product.args[0])
        key_scale, key = _unscaled(flow, emit, product.args[1])
        return _Scores(query, key, scale * query_scale * key_scale, [])
    total = flow.match(expr, "relax.add", "relax.subtract")
    if total is None:
        return None
    sign = 1 if op_name(total) == "relax.add" else -1
    left, right = (flow.resolve(arg) for arg in total.args)
    for data, bias in ((left, right), (right, left))[: 1 + (sign > 0)]:
        found = _scores(flow, emit, data, shape)
        if found is not None:
            return found._replace(biases=[*found.biases, (sign, bias)])
    return None


def _split(
    flow: Dataflow, emit: Emit, found: _Scores | None, shape: tuple[Dim, ...]
) -> _Scores | None:
    """Return scores of four axes of those whose batch and heads are one."""
    if found is None:
        return None

    def split(part: Expr) -> Expr:
        turned = flow.match(part, "relax.permute_dims")
        if turned is not None and permutation(turned) == [0, 2, 1]:
            return emit(relax.op.permute_dims(split(turned.args[0]), [0, 1, 3, 2]))
        return emit(relax.op.reshape(part, (*shape[:2], *tensor_shape(part)[-2:])))

    if any(len(tensor_shape(bias)) != 3 for _, bias in found.biases):
        return None
    biases = [(sign, split(bias)) for sign, bias in found.biases]
    return found._replace(query=split(found.query), key=split(found.key), biases=biases)


def _is_lowest(expr: Expr) -> bool:
    number = scalar_value(expr)
    return number is not None and number < _LOW


def _unscaled(flow: Dataflow, emit: Emit, expr: Expr) -> tuple[float, Expr]:
    """Return (factor, base) with `expr` = factor * base, also from before the heads were split."""
    factor, base = flow.scaled(expr)
    moved = flow.match(base, "relax.permute_dims", "relax.reshape")
    if moved is None:
        return factor, base
    inner, source = _unscaled(flow, emit, moved.args[0])
    if inner == 1.0:
        return factor, base
    if op_name(moved) == "relax.reshape":
        return factor * inner, emit(relax.op.reshape(source, tensor_shape(moved)))
    return factor * inner, emit(relax.op.permute_dims(source, moved.attrs.axes))


def _shapes_agree(scores: _Scores, shape: tuple[Dim, ...], value_shape: tuple[Dim, ...]) -> bool:
    """Return whether no operand is broadcast over batch or heads, which the op cannot do."""
    leading = {s[:2] for s in (tensor_shape(scores.query), tensor_shape(scores.key), value_shape)}
    return leading == {shape[:2]}


def _bias(emit: Emit, biases: list[tuple[int, Expr]], shape: tuple[Dim, ...]) -> Expr | None:
    """Return the sum of the biases with four dimensions, each 1 or as in `shape`."""
    total: Expr | None = None
    for sign, bias in biases:
        rank = len(tensor_shape(bias))
        if rank < len(shape):
            bias = emit(relax.op.reshape(bias, [1] * (len(shape) - rank) + [*tensor_shape(bias)]))
        if sign < 0:
            bias = emit(relax.op.negative(bias))
        total = bias if total is None else emit(relax.op.add(total, bias))
    return total
