"""Matrix products, Einsum among them."""

from __future__ import annotations

import string

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    shape_of,
)
from tvm_sparse.ir.dims import Dim, product

op = relax.op


def _transposed(emit: Emitter, value: Value) -> tvm.ir.Expr:
    rank = len(shape_of(value))
    return emit(op.permute_dims(as_expr(value), [*range(rank - 2), rank - 1, rank - 2]))


def _emit_matmul(emit: Emitter, node: Node, a: Value, b: Value) -> tvm.ir.Expr:
    flags = ("transpose_a", "transpose_b") if node.op == "MatMul" else ("adj_x", "adj_y")
    left = _transposed(emit, a) if node.attrs.get(flags[0]) else as_expr(a)
    right = _transposed(emit, b) if node.attrs.get(flags[1]) else as_expr(b)
    return emit(op.matmul(left, right))


def _labels(node: Node, equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """Return the labels of the operands and of the output, ellipses spelled out."""
    inputs, _, output = equation.replace(" ", "").partition("->")
    operands = inputs.split(",")
    if "->" not in equation:
        raise node.error(f"the equation {equation!r} must name its output")
    free = [c for c in string.ascii_letters if c not in equation]
    spans = [r - len(o.replace("...", "")) for o, r in zip(operands, ranks, strict=True)]
    widest = max((s for o, s in zip(operands, spans, strict=True) if "..." in o), default=0)
    dots = "".join(free[:widest])
    spelled = [o.replace("...", dots[widest - s :]) for o, s in zip(operands, spans, strict=True)]
    if any(len(set(o)) != len(o) for o in spelled):
        raise node.error(f"the equation {equation!r} repeats a label within one operand")
    return spelled, output.replace("...", dots)


def _summed(emit: Emitter, x: tvm.ir.Expr, labels: str, keep: set[str]) -> tuple[tvm.ir.Expr, str]:
    """Sum over the labels nobody else uses."""
    alone = [i for i, label in enumerate(labels) if label not in keep]
    if alone:
        x = emit(op.sum(x, alone))
    return x, "".join(label for label in labels if label in keep)


def _arranged(emit: Emitter, x: tvm.ir.Expr, labels: str, wanted: str) -> tvm.ir.Expr:
    order = [labels.index(label) for label in wanted]
    return x if order == sorted(order) else emit(op.permute_dims(x, order))


def _reshaped(emit: Emitter, x: tvm.ir.Expr, shape: list[Dim]) -> tvm.ir.Expr:
    return x if list(shape_of(x)) == shape else emit(op.reshape(x, shape))


def _emit_einsum(emit: Emitter, node: Node, *values: Value) -> tvm.ir.Expr:
    operands, output = _labels(node, node.attrs["equation"], [len(shape_of(v)) for v in values])
    if len(values) == 1:
        x, labels = _summed(emit, as_expr(values[0]), operands[0], set(output))
        return _arranged(emit, x, labels, output)

    (a_labels, b_labels) = operands
    a, a_labels = _summed(emit, as_expr(values[0]), a_labels, set(b_labels + output))
    b, b_labels = _summed(emit, as_expr(values[1]), b_labels, set(a_labels + output))
    size = dict(zip(a_labels, shape_of(a), strict=True))
    for label, extent in zip(b_labels, shape_of(b), strict=True):
        if size.setdefault(label, extent) != extent:
            raise node.error(f"Einsum broadcasts label {label!r}, which is not supported")

    batch = [c for c in a_labels if c in b_labels and c in output]
    inner = [c for c in a_labels if c in b_labels and c not in output]
    rows = [c for c in a_labels if c not in b_labels]
    cols = [c for c in b_labels if c not in a_labels]

    def extents(labels: list[str]) -> list[Dim]:
        return [size[c] for c in labels]

    def flat(labels: list[str]) -> Dim:
        return product(extents(labels))

    a = _arranged(emit, a, a_labels, "".join(batch + rows + inner))
    b = _arranged(emit, b, b_labels, "".join(batch + inner + cols))
    # Without batch labels the rows need not be flattened: (..., K) @ (K, N) is a dense layer.
    lead = extents(batch) + ([flat(rows)] if batch else extents(rows) or [1])
    multiplied = op.matmul(
        _reshaped(emit, a, [*lead, flat(inner)]),
        _reshaped(emit, b, [*extents(batch), flat(inner), flat(cols)]),
    )
    multiplied = _reshaped(emit, emit(multiplied), extents(batch + rows + cols))
    return _arranged(emit, multiplied, "".join(batch + rows + cols), output)


CONVERTERS: dict[str, Converter] = {
    "BatchMatMul": Converter(_emit_matmul),
    "BatchMatMulV2": Converter(_emit_matmul),
    "BatchMatMulV3": Converter(_emit_matmul),
    "Einsum": Converter(
        _emit_einsum,
        lambda node, *values: np.asarray(np.einsum(node.attrs["equation"], *values)),
        "no label twice in one operand",
    ),
    "MatMul": Converter(_emit_matmul),
}
