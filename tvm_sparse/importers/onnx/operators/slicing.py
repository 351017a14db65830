"""Slices, splits, padding and triangles."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers import positions
from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.onnx.operators.operator import (
    Convert,
    axes_of,
    integers,
    number,
    option,
)
from tvm_sparse.importers.onnx.program import OnnxNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    shape_of,
)

op = relax.op


def cut(emit: Emitter, x: Value, at: int, where: slice) -> tvm.ir.Expr:
    """Return a slice of one axis, with the bounds that Python would give it."""
    return as_expr(positions.cut(emit, x, at, where))


def _slice(emit: Emitter, node: OnnxNode, x: Value, *tensors: Value | None) -> tvm.ir.Expr:
    given = [*tensors, None, None, None, None][:4]
    starts, ends, axes, steps = (
        option(node, name, tensor)
        for name, tensor in zip(("starts", "ends", "axes", "steps"), given, strict=True)
    )
    result: Value = x
    places = axes_of(axes, len(shape_of(x)))
    for i, (start, end) in enumerate(zip(starts or [], ends or [], strict=True)):
        step = steps[i] if steps else 1
        # Far below the front, which is where it ends backwards.
        stop = None if step < 0 and end < -shape_of(x)[places[i]] else end
        result = cut(emit, result, places[i], slice(start, stop, step))
    return as_expr(result)


def _split(emit: Emitter, node: OnnxNode, x: Value, sizes: Value | None = None) -> list[Any]:
    at = axis(node.attributes.get("axis", 0), len(shape_of(x)))
    extent, given = shape_of(x)[at], option(node, "split", sizes)
    if given is None:
        size = -(-extent // len(node.outputs))
        given = [min(size, extent - start) for start in range(0, extent, size)]
    ends = np.cumsum(given).tolist()
    return [cut(emit, x, at, slice(end - size, end)) for end, size in zip(ends, given, strict=True)]


def _pad(
    emit: Emitter,
    node: OnnxNode,
    x: Value,
    pads: Value | None = None,
    value: Value | None = None,
    axes: Value | None = None,
) -> tvm.ir.Expr:
    mode = node.attributes.get("mode", "constant")
    widths = option(node, "pads", pads) or []
    if mode != "constant" or min(widths, default=0) < 0:
        raise node.error(f"mode {mode} with pads {widths} given: only adding a number is imported")
    filled = node.attributes.get("value", 0.0) if value is None else number(node, value, "value")
    rank = len(shape_of(x))
    places = axes_of(None if axes is None else integers(node, axes, "axes"), rank)
    around = [0] * (2 * rank)
    for i, at in enumerate(places):
        around[2 * at : 2 * at + 2] = [widths[i], widths[i + len(places)]]
    return emit(op.nn.pad(as_expr(x), around, "constant", filled)) if any(around) else as_expr(x)


def _triangle(emit: Emitter, node: OnnxNode, x: Value, k: Value | None = None) -> tvm.ir.Expr:
    """Keep the upper or lower triangle of matrices."""
    diagonal = 0 if k is None else integers(node, k, "diagonal")[0]
    band = np.triu if node.attributes.get("upper", 1) else np.tril
    shape = shape_of(x)[-2:]
    kept = band(np.ones(emit.limits.largest(shape)), diagonal).astype(bool)
    expr, mask = as_expr(x), as_expr(positions.Positions(emit, kept, shape))
    return emit(op.where(mask, expr, relax.const(0, expr.ty.dtype)))


OPERATORS: dict[str, Convert] = {
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    "Trilu": _triangle,
}
