"""Constants, ranges, fills and questions about shapes, all answered at import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.extents import extents_array, is_open
from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    constants_only,
    dtype_of,
    known_dims,
    shape_of,
)
from tvm_sparse.ir.dims import product

op = relax.op


def _answered(answer: Callable[..., Any], note: str = "") -> Converter:
    """Return the converter of an op that asks for shape or type alone, known of every value."""
    return Converter(lambda emit, node, *values: answer(node, *values), answer, note)


def _shape(node: Node, x: Value) -> np.ndarray:
    return extents_array(shape_of(x), node.attrs.get("out_type", "int32"))


def _shape_n(node: Node, *values: Value) -> list[np.ndarray]:
    return [_shape(node, value) for value in values]


def _size(node: Node, x: Value) -> np.ndarray:
    size = extents_array([product(shape_of(x))], node.attrs.get("out_type", "int32"))
    return size.reshape(())


def _filled(emit: Emitter, node: Node, x: Value, number: int) -> Value:
    shape, like = shape_of(x), np.full((), number, dtype_of(x))
    if all(isinstance(extent, int) for extent in shape):
        return np.full(shape, like)
    return emit(op.broadcast_to(as_expr(like), shape))


def _filling(number: int) -> Converter:
    return Converter(
        lambda emit, node, x: _filled(emit, node, x, number),
        lambda node, x: np.full(x.shape, number, x.dtype),
    )


def _emit_range(emit: Emitter, node: Node, start: Value, limit: Value, step: Value) -> tvm.ir.Expr:
    bounds = (start, limit, step)
    if not all(isinstance(bound, np.ndarray) for bound in bounds):
        raise node.error("its length depends on the inputs of the model; shapes must be static")
    return emit(op.arange(*(bound.item() for bound in bounds), node.attrs.get("Tidx", "int32")))


def _fold_range(node: Node, start: np.ndarray, limit: np.ndarray, step: np.ndarray) -> Any:
    if any(map(is_open, (start, limit, step))):
        return NotImplemented
    return np.arange(start.item(), limit.item(), step.item()).astype(start.dtype)


def _emit_fill(emit: Emitter, node: Node, shape: Value, value: Value) -> tvm.ir.Expr:
    return emit(op.broadcast_to(as_expr(value), known_dims(node, shape, "shape")))


def _fold_fill(node: Node, shape: np.ndarray, value: np.ndarray) -> Any:
    if is_open(shape):
        return NotImplemented
    return np.full(tuple(shape), value)


def _fold_broadcast_args(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.broadcast_shapes(tuple(a), tuple(b)), a.dtype)


CONVERTERS: dict[str, Converter] = {
    "BroadcastArgs": constants_only(
        "the shapes depend on the inputs of the model; shapes must be static",
        _fold_broadcast_args,
        "static shapes",
    ),
    "Fill": Converter(_emit_fill, _fold_fill),
    "OnesLike": _filling(1),
    "Range": Converter(_emit_range, _fold_range, "bounds known at import"),
    "Rank": _answered(lambda node, x: np.asarray(len(shape_of(x)), "int32"), "folded"),
    "Shape": _answered(_shape, "folded"),
    "ShapeN": _answered(_shape_n, "folded"),
    "Size": _answered(_size, "folded"),
    "ZerosLike": _filling(0),
}
