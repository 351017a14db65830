"""Heads of keys and values that are repeated for several heads of queries each: one repeat."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Emit, Expr
from tvm_sparse.ir.expressions import op_name, permutation, tensor_shape


def raise_shared_heads(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return `repeat` along the heads, the third axis, if `call` transposes heads repeated before.

    It is (batch, seq_len, heads, dim). Models grow an axis behind the heads and merge it with them;
    PyTorch's attention repeats itself.
    """
    if op_name(call) != "relax.permute_dims" or permutation(call) != [0, 2, 1, 3]:
        return None
    heads, times = _repeated(flow, call.args[0])
    if heads is None:
        return None
    return relax.op.repeat(emit(relax.op.permute_dims(heads, [0, 2, 1, 3])), times, axis=2)


def _repeated(flow: Dataflow, expr: Expr) -> tuple[Expr | None, int]:
    """Return (x, n) if `expr` is x of (batch, heads, seq_len, dim) with each head n times."""
    repeat = flow.match(expr, "relax.repeat")
    if repeat is not None:
        return (
            (repeat.args[0], int(repeat.attrs.repeats))
            if int(repeat.attrs.axis) == 1
            else (None, 1)
        )
    merged = flow.match(expr, "relax.reshape")
    grown = None if merged is None else flow.match(merged.args[0], "relax.broadcast_to")
    split = None if grown is None else flow.match(grown.args[0], "relax.reshape")
    if merged is None or grown is None or split is None:
        return None, 1
    shape, wide = tensor_shape(split.args[0]), tensor_shape(grown)
    if len(shape) != 4 or tensor_shape(split) != (*shape[:2], 1, *shape[2:]):
        return None, 1
    times = wide[2] if len(wide) == 5 else None
    if not isinstance(times, int) or wide != (*shape[:2], times, *shape[2:]):
        return None, 1
    if tensor_shape(merged) != (shape[0], shape[1] * times, *shape[2:]):
        return None, 1
    return split.args[0], times
