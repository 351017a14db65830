"""Constants, ranges, fills and questions about shapes, all answered at import."""

from __future__ import annotations

import math

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    dtype_of,
    known_ints,
    shape_of,
)

op = relax.op


def _shape(emit: Emitter | None, node: Node, x: Value) -> np.ndarray:
    return np.asarray(shape_of(x), node.attrs.get("out_type", "int32"))


def _shape_n(emit: Emitter | None, node: Node, *values: Value) -> list[np.ndarray]:
    return [_shape(emit, node, v) for v in values]


def _size(emit: Emitter | None, node: Node, x: Value) -> np.ndarray:
    return np.asarray(math.prod(shape_of(x)), node.attrs.get("out_type", "int32"))


def _rank(emit: Emitter | None, node: Node, x: Value) -> np.ndarray:
    return np.asarray(len(shape_of(x)), "int32")


def _zeros(emit: Emitter | None, node: Node, x: Value) -> np.ndarray:
    return np.zeros(shape_of(x), dtype_of(x))


def _ones(emit: Emitter | None, node: Node, x: Value) -> np.ndarray:
    return np.ones(shape_of(x), dtype_of(x))


def _fold_range(node: Node, start: np.ndarray, limit: np.ndarray, step: np.ndarray) -> np.ndarray:
    return np.arange(start.item(), limit.item(), step.item()).astype(start.dtype)


def _emit_range(emit: Emitter, node: Node, *bounds: Value) -> tvm.ir.Expr:
    raise node.error("its length depends on the inputs of the model; shapes must be static")


def _emit_fill(emit: Emitter, node: Node, shape: Value, value: Value) -> tvm.ir.Expr:
    return emit(op.broadcast_to(as_expr(value), known_ints(node, shape, "shape")))


def _fold_fill(node: Node, shape: np.ndarray, value: np.ndarray) -> np.ndarray:
    return np.full(tuple(shape), value)


def _fold_broadcast_args(node: Node, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.broadcast_shapes(tuple(a), tuple(b)), a.dtype)


def _emit_broadcast_args(emit: Emitter, node: Node, a: Value, b: Value) -> tvm.ir.Expr:
    raise node.error("the shapes depend on the inputs of the model; shapes must be static")


CONVERTERS: dict[str, Converter] = {
    "BroadcastArgs": Converter(_emit_broadcast_args, _fold_broadcast_args, "static shapes"),
    "Fill": Converter(_emit_fill, _fold_fill),
    "OnesLike": Converter(_ones, lambda node, x: _ones(None, node, x)),
    "Range": Converter(_emit_range, _fold_range, "static bounds"),
    "Rank": Converter(_rank, lambda node, x: _rank(None, node, x), "folded"),
    "Shape": Converter(_shape, lambda node, x: _shape(None, node, x), "folded"),
    "ShapeN": Converter(_shape_n, lambda node, *xs: _shape_n(None, node, *xs), "folded"),
    "Size": Converter(_size, lambda node, x: _size(None, node, x), "folded"),
    "ZerosLike": Converter(_zeros, lambda node, x: _zeros(None, node, x)),
}
