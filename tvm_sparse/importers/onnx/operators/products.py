"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.onnx.operators.operator import (
    Convert,
)
from tvm_sparse.importers.onnx.program import OnnxNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    shape_of,
)

op = relax.op


def _matmul(emit: Emitter, node: OnnxNode, a: Value, b: Value) -> tvm.ir.Expr:
    return emit(op.matmul(as_expr(a), as_expr(b)))


def _turned(emit: Emitter, x: Value, is_turned: object) -> tvm.ir.Expr:
    """Return a tensor with its last two axes exchanged, if so."""
    if not is_turned:
        return as_expr(x)
    order = list(range(len(shape_of(x))))
    order[-2:] = order[:-3:-1]
    return emit(op.permute_dims(as_expr(x), order))


def _scaled(emit: Emitter, x: tvm.ir.Expr, factor: float) -> tvm.ir.Expr:
    return x if factor == 1 else emit(op.multiply(x, relax.const(float(factor))))


def _gemm(emit: Emitter, node: OnnxNode, a: Value, b: Value, c: Value | None = None) -> tvm.ir.Expr:
    given = node.attributes
    left, right = (_turned(emit, x, given.get(key)) for x, key in ((a, "transA"), (b, "transB")))
    product = _scaled(emit, emit(op.matmul(left, right)), given.get("alpha", 1.0))
    if c is None:
        return product
    return emit(op.add(product, _scaled(emit, as_expr(c), given.get("beta", 1.0))))


def _fused_matmul(emit: Emitter, node: OnnxNode, a: Value, b: Value) -> tvm.ir.Expr:
    given = node.attributes
    if given.get("transBatchA") or given.get("transBatchB"):
        raise node.error("transBatchA or transBatchB given, which are not imported")
    left, right = (_turned(emit, x, given.get(key)) for x, key in ((a, "transA"), (b, "transB")))
    return _scaled(emit, emit(op.matmul(left, right)), given.get("alpha", 1.0))


def _fused_gemm(emit: Emitter, node: OnnxNode, a: Value, b: Value, *bias: Value) -> tvm.ir.Expr:
    """Multiply, and apply one of the activations that ONNX Runtime fuses without parameters."""
    name = node.attributes.get("activation", "")
    if name not in _ACTIVATIONS:
        raise node.error(f"activation {name} given: {', '.join(_ACTIVATIONS)} are imported")
    return emit(_ACTIVATIONS[name](_gemm(emit, node, a, b, *bias)))


def _gemm_gelu(emit: Emitter, node: OnnxNode, a: Value, b: Value, *bias: Value) -> tvm.ir.Expr:
    return emit(op.nn.gelu_tanh(_gemm(emit, node, a, b, *bias)))


def _einsum(emit: Emitter, node: OnnxNode, *tensors: Value) -> tvm.ir.Expr:
    equation = node.attributes["equation"].replace(" ", "")
    parts: Sequence[str] = equation.split("->")[0].split(",")
    if any(len(set(part)) != len(part) for part in parts):
        raise node.error(f"the equation {equation!r} repeats a label within one operand")
    return emit(op.einsum([as_expr(tensor) for tensor in tensors], equation))


_ACTIVATIONS = {"Relu": op.nn.relu, "Sigmoid": op.sigmoid, "Tanh": op.tanh}
OPERATORS: dict[str, Convert] = {
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "com.microsoft:FusedGemm": _fused_gemm,
    "com.microsoft:FusedMatMul": _fused_matmul,
    "com.microsoft:GemmFastGelu": _gemm_gelu,
}
