"""Scaled dot-product attention, as PyTorch computes it: any scale, mask and number of heads."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.torch.operators.operator import (
    Operator,
    Value,
    as_expr,
    dtype_of,
    shape_of,
)
from tvm_sparse.importers.torch.program import AtenNode

op = relax.op
_LOWEST = float(np.finfo("float32").min)


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
    attended = op.nn.attention(
        *operands,
        bias=_bias(emit, attn_mask),
        scale=scale,
        causal_mask="TopLeft" if is_causal else None,
    )
    return emit(op.permute_dims(emit(attended), [0, 2, 1, 3]))


def _bias(emit: Emitter, mask: Value | None) -> tvm.ir.Expr | None:
    """Return what is added to the scores, of four axes; None for a mask that keeps everything."""
    if mask is None:
        return None
    is_bool = dtype_of(mask) == "bool"
    if isinstance(mask, np.ndarray) and bool((mask == (1 if is_bool else 0)).all()):
        return None
    bias = as_expr(mask)
    if is_bool:
        bias = emit(op.where(bias, relax.const(0.0), relax.const(_LOWEST)))
    shape = shape_of(bias)
    return bias if len(shape) == 4 else emit(op.reshape(bias, (1,) * (4 - len(shape)) + shape))


OPERATORS: dict[str, Operator] = {
    "scaled_dot_product_attention.default": Operator(_emit_attention),
}
