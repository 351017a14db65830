"""Matrix products."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.torch.operators.operator import (
    Operator,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    shape_of,
)

op = relax.op


def _emit_linear(
    emit: Emitter, node: AtenNode, x: Value, weight: Value, bias: Value | None = None
) -> tvm.ir.Expr:
    product = emit(op.matmul(as_expr(x), emit(op.permute_dims(as_expr(weight)))))
    return product if bias is None else emit(op.add(product, as_expr(bias)))


def _emit_addmm(
    emit: Emitter,
    node: AtenNode,
    x: Value,
    mat1: Value,
    mat2: Value,
    beta: float = 1,
    alpha: float = 1,
) -> tvm.ir.Expr:
    if (beta, alpha) != (1, 1):
        raise node.error(f"beta {beta} and alpha {alpha} given: only 1 and 1 are imported")
    return emit(op.add(emit(op.matmul(as_expr(mat1), as_expr(mat2))), as_expr(x)))


def _emit_matmul(emit: Emitter, node: AtenNode, a: Value, b: Value) -> tvm.ir.Expr:
    """Multiply; what PyTorch expands to whole batches before Relax broadcasts by itself."""
    return emit(op.matmul(as_expr(a), as_expr(b)))


def _sums_what_is_fixed(node: AtenNode, x: Value, **_: Value) -> bool:
    return isinstance(shape_of(x)[-1], int)


def _emit_einsum(
    emit: Emitter, node: AtenNode, equation: str, tensors: list[Value], **_: object
) -> tvm.ir.Expr:
    if any(len(set(part)) != len(part) for part in equation.split("->")[0].split(",")):
        raise node.error(f"the equation {equation!r} repeats a label within one operand")
    return emit(op.einsum([as_expr(tensor) for tensor in tensors], equation.replace(" ", "")))


_MATMUL = Operator(
    lambda emit, node, x, other: _emit_matmul(emit, node, x, other),
    lambda node, x, other: np.matmul(x, other),
    _sums_what_is_fixed,
)
_BATCHED = Operator(
    lambda emit, node, x, mat2: _emit_matmul(emit, node, x, mat2),
    lambda node, x, mat2: np.matmul(x, mat2),
    _sums_what_is_fixed,
)
OPERATORS: dict[str, Operator] = {
    "addmm.default": Operator(_emit_addmm),
    "bmm.default": _BATCHED,
    "einsum.default": Operator(_emit_einsum),
    "linear.default": Operator(_emit_linear),
    "matmul.default": _MATMUL,
    "mm.default": _BATCHED,
}
