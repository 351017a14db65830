"""Shapes, transposes, broadcasts and joining."""

from __future__ import annotations

import math

import numpy as np
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
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    cast,
    common,
    shape_of,
)

op = relax.op


def _reshaped(emit: Emitter, x: Value, shape: list[int]) -> tvm.ir.Expr:
    expr = as_expr(x)
    return expr if shape_of(x) == tuple(shape) else emit(op.reshape(expr, shape))


def _reshape(emit: Emitter, node: OnnxNode, x: Value, shape: Value | None = None) -> tvm.ir.Expr:
    given = option(node, "shape", shape) or []
    old, keeps = shape_of(x), not node.attributes.get("allowzero")
    new = [old[at] if extent == 0 and keeps else extent for at, extent in enumerate(given)]
    if -1 in new:
        rest = math.prod(extent for extent in new if extent != -1)
        new[new.index(-1)] = math.prod(old) // rest if rest else 0
    return _reshaped(emit, x, new)


def _flatten(emit: Emitter, node: OnnxNode, x: Value) -> tvm.ir.Expr:
    shape = shape_of(x)
    at = node.attributes.get("axis", 1)
    at = at + len(shape) if at < 0 else at
    return _reshaped(emit, x, [math.prod(shape[:at]), math.prod(shape[at:])])


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
    wanted = np.broadcast_shapes(shape_of(x), tuple(integers(node, shape, "shape")))
    return as_expr(x) if wanted == shape_of(x) else emit(op.broadcast_to(as_expr(x), wanted))


def _tile(emit: Emitter, node: OnnxNode, x: Value, repeats: Value) -> tvm.ir.Expr:
    times = integers(node, repeats, "repeats")
    return as_expr(x) if set(times) == {1} else emit(op.tile(as_expr(x), times))


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
