"""A dense layer over flattened leading axes (Keras' Tensordot) becomes one matmul."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Emit, Expr
from tvm_sparse.ir.expressions import op_name, tensor_shape


def raise_dense(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return `matmul((..., K), (K, N))` if `call` reshapes a 2-D product to (..., N).

    A bias of shape (N,) added between the product and the reshape moves behind the matmul.
    """
    if op_name(call) != "relax.reshape":
        return None
    shape = tensor_shape(call)
    product, bias = _product(flow, call.args[0])
    if product is None or shape[-1:] != tensor_shape(product)[-1:]:
        return None
    rows = flow.match(product.args[0], "relax.reshape")
    if rows is None:
        return None
    source, wanted = flow.resolve(rows.args[0]), (*shape[:-1], tensor_shape(rows)[-1])
    data = source if tensor_shape(source) == wanted else emit(relax.op.reshape(source, wanted))
    dense = relax.op.matmul(data, product.args[1])
    return dense if bias is None else relax.op.add(emit(dense), bias)


def _product(flow: Dataflow, expr: Expr) -> tuple[relax.Call | None, Expr | None]:
    """Return a product of two matrices and the bias added to it, if any."""
    total = flow.match(expr, "relax.add")
    candidates: list[tuple[Expr, Expr | None]] = [(expr, None)]
    if total is not None:
        left, right = total.args
        candidates = [(left, right), (right, left)]
    for data, bias in candidates:
        product = flow.match(data, "relax.matmul")
        if product is None or {len(tensor_shape(e)) for e in (product, product.args[1])} != {2}:
            continue
        if bias is None or tensor_shape(bias) == tensor_shape(product)[-1:]:
            return product, bias
    return None, None
