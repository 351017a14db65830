"""Reductions along axes, running sums and positions of extremes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    known_axis,
    known_ints,
    shape_of,
)

op = relax.op


def _axes(node: Node, axes: Value, rank: int) -> list[int]:
    return sorted({axis % rank for axis in known_ints(node, axes, "axes")}) if rank else []


def _reduction(relax_op: Callable[..., Any], numpy_op: Callable[..., Any]) -> Converter:
    def emit_reduction(emit: Emitter, node: Node, x: Value, axes: Value) -> tvm.ir.Expr:
        along = _axes(node, axes, len(shape_of(x)))
        if not along:
            return as_expr(x)
        return emit(relax_op(as_expr(x), along, bool(node.attrs.get("keep_dims", False))))

    def fold_reduction(node: Node, x: np.ndarray, axes: np.ndarray) -> np.ndarray:
        along = tuple(_axes(node, axes, x.ndim))
        keep = bool(node.attrs.get("keep_dims", False))
        return np.asarray(numpy_op(x, axis=along, keepdims=keep)).astype(x.dtype)

    return Converter(emit_reduction, fold_reduction)


def _logical(relax_op: Callable[..., Any], numpy_op: Callable[..., Any]) -> Converter:
    # Relax reduces numbers only: all() is the minimum of 0 and 1, any() the maximum.
    numeric = _reduction(relax_op, numpy_op)

    def emit_logical(emit: Emitter, node: Node, x: Value, axes: Value) -> tvm.ir.Expr:
        ones = emit(op.astype(as_expr(x), "int32"))
        return emit(op.astype(numeric.emit(emit, node, ones, axes), "bool"))

    return Converter(emit_logical, numeric.fold)


def _arg(relax_op: Callable[..., Any], numpy_op: Callable[..., Any]) -> Converter:
    def emit_arg(emit: Emitter, node: Node, x: Value, axis: Value) -> tvm.ir.Expr:
        position = emit(relax_op(as_expr(x), known_axis(node, axis, len(shape_of(x)))))
        return emit(op.astype(position, node.attrs.get("output_type", "int64")))

    def fold_arg(node: Node, x: np.ndarray, axis: np.ndarray) -> np.ndarray:
        position = np.asarray(numpy_op(x, axis=int(axis)))
        return position.astype(node.attrs.get("output_type", "int64"))

    return Converter(emit_arg, fold_arg)


def _emit_cumsum(emit: Emitter, node: Node, x: Value, axis: Value) -> tvm.ir.Expr:
    along = known_axis(node, axis, len(shape_of(x)))
    running = op.cumsum if node.op == "Cumsum" else op.cumprod
    data = as_expr(x)
    reverse = bool(node.attrs.get("reverse", False))
    if reverse:
        data = emit(op.flip(data, along))
    data = emit(running(data, along, exclusive=bool(node.attrs.get("exclusive", False))))
    return emit(op.flip(data, along)) if reverse else data


def _fold_cumsum(node: Node, x: np.ndarray, axis: np.ndarray) -> np.ndarray:
    along = int(axis) % x.ndim
    running, start = (np.cumsum, 0) if node.op == "Cumsum" else (np.cumprod, 1)
    data = np.flip(x, along) if node.attrs.get("reverse") else x
    total = running(data, axis=along, dtype=x.dtype)
    if node.attrs.get("exclusive"):
        total = np.roll(total, 1, axis=along)
        total[(slice(None),) * along + (0,)] = start
    return np.ascontiguousarray(np.flip(total, along) if node.attrs.get("reverse") else total)


def _emit_top_k(emit: Emitter, node: Node, x: Value, k: Value) -> list[tvm.ir.Expr]:
    (count,) = known_ints(node, k, "k")
    both = emit(op.topk(as_expr(x), k=count, axis=len(shape_of(x)) - 1, ret_type="both"))
    return [emit(relax.TupleGetItem(both, 0)), emit(relax.TupleGetItem(both, 1))]


CONVERTERS: dict[str, Converter] = {
    "All": _logical(op.min, np.min),
    "Any": _logical(op.max, np.max),
    "ArgMax": _arg(op.argmax, np.argmax),
    "ArgMin": _arg(op.argmin, np.argmin),
    "Cumprod": Converter(_emit_cumsum, _fold_cumsum),
    "Cumsum": Converter(_emit_cumsum, _fold_cumsum),
    "Max": _reduction(op.max, np.max),
    "Mean": _reduction(op.mean, np.mean),
    "Min": _reduction(op.min, np.min),
    "Prod": _reduction(op.prod, np.prod),
    "Sum": _reduction(op.sum, np.sum),
    "TopKV2": Converter(_emit_top_k, note="k known at import"),
}
