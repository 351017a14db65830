"""Attention as one operator: ONNX's own, and that of ONNX Runtime's graph optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.onnx.operators.operator import Convert
from tvm_sparse.importers.onnx.program import OnnxNode
from tvm_sparse.importers.values import LOWEST, Value, as_expr, cast, dtype_of, shape_of

op = relax.op
#: What ONNX Runtime adds to the scores of keys that a mask hides, if nobody says.
_HIDDEN = -10000.0


def _attention(
    emit: Emitter,
    node: OnnxNode,
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None = None,
    *cached: Value | None,
) -> list[Any]:
    """ONNX's, of (batch, heads, seq, head_dim) or (batch, seq, heads * head_dim)."""
    if any(one is not None for one in cached) or node.attributes.get("softcap"):
        raise node.error("a cache of keys, or a softcap, given, which is not imported")
    rank, heads = len(shape_of(query)), node.attributes.get("q_num_heads", 0)
    shared = node.attributes.get("kv_num_heads", heads)
    operands = [
        _rows_of_heads(emit, x, count)
        for x, count in ((query, heads), (key, shared), (value, shared))
    ]
    count = shape_of(operands[0])[2]
    operands = [
        x if shape_of(x)[2] == count else emit(op.repeat(x, count // shape_of(x)[2], 2))
        for x in operands
    ]
    bias = None
    if mask is not None:
        bias = as_expr(mask)
        if dtype_of(mask) == "bool":
            bias = emit(op.where(bias, relax.const(0.0), relax.const(LOWEST)))
    return [_attended(emit, node, operands, bias, node.attributes.get("is_causal", 0), rank)]


def _multi_head(  # its inputs are ONNX Runtime's
    emit: Emitter,
    node: OnnxNode,
    query: Value,
    key: Value | None = None,
    value: Value | None = None,
    bias: Value | None = None,
    mask: Value | None = None,
    added: Value | None = None,
    *cached: Value | None,
) -> list[Any]:
    """ONNX Runtime's, of (batch, seq, heads * head_dim) each."""
    if key is None or value is None or any(one is not None for one in cached):
        raise node.error("packed keys, or a cache of them, given, which is not imported")
    if {len(shape_of(x)) for x in (query, key, value)} != {3}:
        raise node.error("keys or values of four axes given, which is not imported")
    parts = [as_expr(query), as_expr(key), as_expr(value)]
    if bias is not None:
        sizes = np.cumsum([shape_of(part)[-1] for part in parts])[:-1].tolist()
        own = op.split(as_expr(bias), sizes)
        biases = emit(own)
        parts = [
            emit(op.add(part, emit(relax.TupleGetItem(biases, i)))) for i, part in enumerate(parts)
        ]
    heads = [_rows_of_heads(emit, part, node.attributes["num_heads"]) for part in parts]
    terms = [] if mask is None else [_hiding(emit, node, mask, shape_of(key)[1])]
    terms += [] if added is None else [as_expr(added)]
    total = terms[0] if terms else None
    for term in terms[1:]:
        total = emit(op.add(total, term))
    causal = node.attributes.get("unidirectional", 0)
    return [_attended(emit, node, heads, total, causal, 3)]


def _rows_of_heads(emit: Emitter, x: Value, heads: int) -> tvm.ir.Expr:
    """Return (batch, seq, heads, head_dim)."""
    shape = shape_of(x)
    if len(shape) == 4:
        return emit(op.permute_dims(as_expr(x), [0, 2, 1, 3]))
    return emit(op.reshape(as_expr(x), (*shape[:2], heads, shape[2] // heads)))


def _attended(
    emit: Emitter,
    node: OnnxNode,
    operands: list[tvm.ir.Expr],
    bias: tvm.ir.Expr | None,
    is_causal: int,
    rank: int,
) -> tvm.ir.Expr:
    if bias is not None and len(shape_of(bias)) < 4:
        shape = shape_of(bias)
        bias = emit(op.reshape(bias, (1,) * (4 - len(shape)) + shape))
    scale = node.attributes.get("scale", 0.0)
    causal = "TopLeft" if is_causal else None
    attended = emit(op.nn.attention(*operands, bias=bias, scale=scale or None, causal_mask=causal))
    if rank == 4:
        return emit(op.permute_dims(attended, [0, 2, 1, 3]))
    batch, length, heads, width = shape_of(attended)
    return emit(op.reshape(attended, (batch, length, heads * width)))


def _hiding(emit: Emitter, node: OnnxNode, mask: Value, keys: int) -> tvm.ir.Expr:
    """Return what a mask adds to the scores: of lengths, of keys, or of keys for each query."""
    shape = shape_of(mask)
    kept = as_expr(mask)
    if len(shape) == 1:
        places = relax.const(np.arange(keys, dtype=np.int32)[None])
        kept = emit(op.less(places, emit(op.reshape(cast(emit, mask, "int32"), (shape[0], 1)))))
        shape = (shape[0], keys)
    if len(shape) not in (2, 3) or shape[-1] != keys:
        raise node.error(f"a mask of {'x'.join(map(str, shape))} given, which is not imported")
    wide = (shape[0], 1, *((1, keys) if len(shape) == 2 else shape[1:]))
    hidden = emit(op.subtract(relax.const(1.0), cast(emit, kept, "float32")))
    value = relax.const(float(node.attributes.get("mask_filter_value", _HIDDEN)))
    return emit(op.reshape(emit(op.multiply(hidden, value)), wide))


OPERATORS: dict[str, Convert] = {
    "Attention": _attention,
    "com.microsoft:MultiHeadAttention": _multi_head,
}
