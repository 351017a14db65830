"""Scaled dot-product attention, as PyTorch computes it: any scale, mask and number of heads."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.positions import Positions
from tvm_sparse.importers.torch.operators.operator import (
    Operator,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    LOWEST,
    Value,
    as_expr,
    dtype_of,
    shape_of,
)

op = relax.op
#: Axes of the scores.
_QUERIES, _KEYS = 2, 3


def _emit_attention(
    emit: Emitter,
    node: AtenNode,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tvm.ir.Expr:
    """Emit `nn.attention`, which takes (batch, seq, heads, head_dim)."""
    if len(shape_of(query)) != 4:
        raise node.error(f"a query of {len(shape_of(query))} axes given: 4 are imported")
    heads = shape_of(query)[1]
    operands = []
    for operand in map(as_expr, (query, key, value)):
        shared = heads // shape_of(operand)[1]
        whole = emit(op.repeat(operand, shared, 1)) if shared > 1 else operand
        operands.append(emit(op.permute_dims(whole, [0, 2, 1, 3])))
    mask = _of_four_axes(emit, attn_mask)
    attended = emit(
        op.nn.attention(
            *operands,
            bias=_bias(emit, mask),
            scale=scale,
            causal_mask="TopLeft" if is_causal else None,
        )
    )
    seeing = _seeing(emit, mask)
    if seeing is not None:
        attended = emit(op.multiply(attended, seeing))
    return emit(op.permute_dims(attended, [0, 2, 1, 3]))


def _of_four_axes(emit: Emitter, mask: Value | None) -> Value | None:
    """Return a mask with all axes of the scores; None for one that keeps everything."""
    if mask is None:
        return None
    neutral = 1 if dtype_of(mask) == "bool" else 0
    known = mask.array if isinstance(mask, Positions) else mask
    if isinstance(known, np.ndarray) and bool((known == neutral).all()):
        return None
    shape = shape_of(mask)
    if len(shape) == 4:
        return mask
    ones = (1,) * (4 - len(shape))
    shape = ones + shape
    if isinstance(mask, Positions):
        return mask.changed(mask.array.reshape(ones + mask.array.shape), shape)
    return mask.reshape(shape) if isinstance(mask, np.ndarray) else emit(op.reshape(mask, shape))


def _bias(emit: Emitter, mask: Value | None) -> tvm.ir.Expr | None:
    """Return what is added to the scores."""
    if mask is None or dtype_of(mask) != "bool":
        return None if mask is None else as_expr(mask)
    if isinstance(mask, Positions):
        return as_expr(mask.changed(np.where(mask.array, 0, LOWEST).astype("float32"), mask.shape))
    return emit(op.where(as_expr(mask), relax.const(0.0), relax.const(LOWEST)))


def _seeing(emit: Emitter, mask: Value | None) -> tvm.ir.Expr | None:
    """Return 1 for each query that sees a key and 0 for others, which PyTorch makes zero.

    None where all see one, or all the same keys: a text of padding alone means nothing.
    """
    if mask is None or dtype_of(mask) != "bool" or shape_of(mask)[_QUERIES] == 1:
        return None
    if isinstance(mask, np.ndarray) and bool(mask.any(_KEYS).all()):
        return None
    if isinstance(mask, Positions):
        # Of all lengths: a key that is there whenever the query is. Sequences that are alike stay
        # one.
        queries_by_keys = emit.limits.largest(mask.shape[_QUERIES:])
        pairs = np.broadcast_to(mask.array, mask.array.shape[:_QUERIES] + queries_by_keys)
        if bool(np.tril(pairs).any(_KEYS).all()):
            return None
    seeing = op.max(emit(op.astype(as_expr(mask), "float32")), _KEYS, keepdims=True)
    return emit(op.permute_dims(emit(seeing), [0, 2, 1, 3]))


OPERATORS: dict[str, Operator] = {
    "scaled_dot_product_attention.default": Operator(_emit_attention),
}
