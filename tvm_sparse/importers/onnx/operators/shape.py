"""Shapes, transposes, broadcasts and joining."""

from __future__ import annotations

import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.onnx.operators.operator import (
    Convert,
    axes_of,
    integers,
    option,
)
from tvm_sparse.importers.onnx.program import OnnxNode
from tvm_sparse.importers.repeats import repeated
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    cast,
    common,
    shape_of,
)
from tvm_sparse.ir.dims import Dim, divide, product

op = relax.op


def _reshaped(emit: Emitter, x: Value, shape: list[Dim]) -> tvm.ir.Expr:
    expr = as_expr(x)
    return expr if shape_of(x) == tuple(shape) else emit(op.reshape(expr, shape))


def _reshape(emit: Emitter, node: OnnxNode, x: Value, shape: Value | None = None) -> tvm.ir.Expr:
    given = option(node, "shape", shape) or []
    old, keeps = shape_of(x), not node.attributes.get("allowzero")
    new = [old[at] if _is(extent, 0) and keeps else extent for at, extent in enumerate(given)]
    if any(_is(extent, -1) for extent in new):
        rest = product(extent for extent in new if not _is(extent, -1))
        left = 0 if _is(rest, 0) else divide(product(old), rest)
        new = [left if _is(extent, -1) else extent for extent in new]
    return _reshaped(emit, x, new)


def _is(extent: Dim, number: int) -> bool:
    return isinstance(extent, int) and extent == number


def _flatten(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    shape = shape_of(x)
    at = node.attributes.get("axis", 1)
    at = at + len(shape) if at < 0 else at
    return _reshaped(emit, x, [product(shape[:at]), product(shape[at:])])


def _squeeze(emit: Emitter, node: OnnxNode, x: Value, axes: Value | None = None) -> tvm.ir.Expr:
    shape, given = shape_of(x), option(node, "axes", axes)
    gone = [at for at, extent in enumerate(shape) if extent == 1]
    gone = gone if given is None else axes_of(given, len(shape))
    return _reshaped(emit, x, [extent for at, extent in enumerate(shape) if at not in gone])


def _unsqueeze(emit: Emitter, node: OnnxNode, x: Value, axes: Value | None = None) -> tvm.ir.Expr:
    given, shape = option(node, "axes", axes) or [], list(shape_of(x))
    for at in sorted(axes_of(given, len(shape) + len(given))):
        shape.insert(at, 1)
    return _reshaped(emit, x, shape)


def _transpose(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    return emit(op.permute_dims(as_expr(x), node.attributes.get("perm")))


def _concat(emit: Emitter, node: OnnxNode, *values: Value) -> tvm.ir.Expr:
    dtype, rank = common(*values), len(shape_of(values[0]))
    at = axis(node.attributes.get("axis", 1), rank)
    parts = [cast(emit, value, dtype) for value in values if shape_of(value)[at] or rank > 1]
    return parts[0] if len(parts) == 1 else emit(op.concat(parts, at))


def _expand(emit: Emitter, node: OnnxNode, x: Value, shape: Value) -> tvm.ir.Expr:
    given, old = tuple(integers(node, shape, "shape")), shape_of(x)
    rank = max(len(given), len(old))
    pairs = zip(*((1,) * (rank - len(one)) + one for one in (given, old)), strict=True)
    wanted = tuple(own if _is(new, 1) else new for new, own in pairs)
    return as_expr(x) if wanted == shape_of(x) else emit(op.broadcast_to(as_expr(x), wanted))


def _tile(emit: Emitter, node: OnnxNode, x: Value, repeats: Value) -> tvm.ir.Expr:
    times = integers(node, repeats, "repeats")
    return as_expr(x) if all(_is(n, 1) for n in times) else repeated(emit, as_expr(x), times)


OPERATORS: dict[str, Convert] = {
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
