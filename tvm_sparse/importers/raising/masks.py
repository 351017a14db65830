"""A mask that is the same for all queries: what repeats it, or asks it, for each of them goes."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Emit, Expr
from tvm_sparse.ir.expressions import op_name, tensor_shape

_QUERIES = 2
#: Element by element: whatever is equal along the queries stays so.
_ELEMENTWISE = frozenset(
    f"relax.{name}"
    for name in (
        *("add", "astype", "bitwise_and", "clip", "divide", "equal", "greater", "greater_equal"),
        *("less", "less_equal", "logical_and", "logical_not", "logical_or", "maximum", "minimum"),
        *("multiply", "negative", "not_equal", "subtract", "where"),
    )
)


def narrow_masks(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return attention with a bias of one row for all queries, if its bias is such a row."""
    if op_name(call) != "relax.nn.attention_bias":
        return None
    query, key, value, bias = call.args
    if len(tensor_shape(bias)) != 4 or tensor_shape(bias)[_QUERIES] == 1:
        return None
    narrowed = _narrowed(flow, emit, bias)
    if narrowed is None:
        return None
    return relax.op.nn.attention(
        query, key, value, bias=narrowed, scale=_scale(call), causal_mask=call.attrs.causal_mask
    )


def drop_zeroing(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return attention alone if `call` zeroes its queries that see no key, and all see the same.

    PyTorch's attention makes them zero where a mask of booleans hides every key. With one row for
    all queries that is a text of padding alone, whose outputs mean nothing.
    """
    if op_name(call) != "relax.multiply":
        return None
    attended, moved = call.args
    attention = flow.match(attended, "relax.nn.attention_bias")
    if attention is None or tensor_shape(attention.args[3])[_QUERIES] != 1:
        return None
    mask = moved
    for name in ("relax.permute_dims", "relax.max", "relax.astype"):
        inner = flow.match(mask, name)
        if inner is None:
            return None
        mask = inner.args[0]
    if str(mask.ty.dtype) != "bool" or _narrowed(flow, emit, mask) is None:
        return None
    return flow.resolve(attended)


def _scale(call: relax.Call) -> float | None:
    scale = call.attrs.scale
    return None if scale is None else float(scale)


def _narrowed(flow: Dataflow, emit: Emit, expr: Expr) -> Expr | None:
    """Return a tensor of four axes with one query, None if its queries differ."""
    shape = tensor_shape(expr)
    if len(shape) < 4 or shape[_QUERIES] == 1:
        return expr
    call = flow.match(expr, "relax.broadcast_to", *_ELEMENTWISE)
    if call is None:
        return None
    if op_name(call) == "relax.broadcast_to":
        source = call.args[0]
        if len(tensor_shape(source)) < 4 or tensor_shape(source)[_QUERIES] != 1:
            return None
        wanted = (*shape[:_QUERIES], 1, *shape[_QUERIES + 1 :])
        same = tensor_shape(source) == wanted
        return source if same else emit(relax.op.broadcast_to(source, wanted))
    # Of two or three axes, one would be that of the queries.
    if any(1 < len(tensor_shape(arg)) < 4 for arg in _tensors(call)):
        return None
    narrowed = {arg: _narrowed(flow, emit, arg) for arg in _tensors(call)}
    if any(arg is None for arg in narrowed.values()):
        return None
    changed = [narrowed.get(arg, arg) for arg in call.args]
    return emit(relax.Call(call.op, changed, call.attrs, call.ty_args))


def _tensors(call: relax.Call) -> list[Expr]:
    return [arg for arg in call.args if isinstance(arg.ty, relax.TensorType)]
