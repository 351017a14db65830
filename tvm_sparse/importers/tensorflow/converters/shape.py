"""Ops that move, join or split elements without computing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.extents import is_open
from tvm_sparse.importers.repeats import repeated
from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    known,
    known_axis,
    known_dims,
    known_ints,
    shape_of,
)
from tvm_sparse.ir.dims import Dim, divide, product

op = relax.op


def _to_shape(relax_op: Callable[..., Any], numpy_op: Callable[..., Any]) -> Converter:
    """Return the converter of an op whose second operand is a shape known at import."""

    def emit_to_shape(emit: Emitter, node: Node, x: Value, shape: Value) -> tvm.ir.Expr:
        return emit(relax_op(as_expr(x), _completed(known_dims(node, shape, "shape"), x)))

    def fold_to_shape(node: Node, x: np.ndarray, shape: np.ndarray) -> Any:
        return NotImplemented if is_open(shape) else numpy_op(x, tuple(shape))

    return Converter(emit_to_shape, fold_to_shape)


def _completed(shape: list[Dim], x: Value) -> list[Dim]:
    """Return a shape with the number for -1; Relax finds it where all else are numbers."""
    whole = product(shape_of(x))
    if isinstance(whole, int) or not any(isinstance(d, int) and d == -1 for d in shape):
        return shape
    others = product(d for d in shape if not (isinstance(d, int) and d == -1))
    return [divide(whole, others) if isinstance(d, int) and d == -1 else d for d in shape]


def _emit_tile(emit: Emitter, node: Node, x: Value, multiples: Value) -> tvm.ir.Expr:
    return repeated(emit, as_expr(x), known_dims(node, multiples, "multiples"))


def _fold_tile(node: Node, x: np.ndarray, multiples: np.ndarray) -> Any:
    return NotImplemented if is_open(multiples) else np.tile(x, tuple(multiples))


def _expanded(node: Node, x: Value, axis: Value) -> list[Dim]:
    shape = list(shape_of(x))
    at = int(known(node, axis, "axis").reshape(()))
    shape.insert(at if at >= 0 else at + len(shape) + 1, 1)
    return shape


def _squeezed(node: Node, x: Value) -> list[Dim]:
    shape = shape_of(x)
    axes = {axis % len(shape) for axis in node.attrs.get("squeeze_dims", [])}
    if not axes and not all(isinstance(extent, int) for extent in shape):
        raise node.error("axes of one element would go, and which are is not known: name them")
    return [d for i, d in enumerate(shape) if (i not in axes if axes else d != 1)]


def _emit_expand_dims(emit: Emitter, node: Node, x: Value, axis: Value) -> tvm.ir.Expr:
    return emit(op.reshape(as_expr(x), _expanded(node, x, axis)))


def _emit_squeeze(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    return emit(op.reshape(as_expr(x), _squeezed(node, x)))


def _emit_concat(emit: Emitter, node: Node, *values: Value) -> tvm.ir.Expr:
    # ConcatV2 has its axis last, the old Concat first.
    *parts, axis = values if node.op == "ConcatV2" else (*values[1:], values[0])
    along = known_axis(node, axis, len(shape_of(parts[0])))
    return emit(op.concat([as_expr(p) for p in parts], along))


def _fold_concat(node: Node, *values: np.ndarray) -> np.ndarray:
    *parts, axis = values if node.op == "ConcatV2" else (*values[1:], values[0])
    return np.concatenate(parts, int(axis))


def _emit_pack(emit: Emitter, node: Node, *values: Value) -> tvm.ir.Expr:
    rank = len(shape_of(values[0])) + 1
    axis = int(node.attrs.get("axis", 0)) % rank
    shape = list(shape_of(values[0]))
    shape.insert(axis, 1)
    return emit(op.concat([emit(op.reshape(as_expr(v), shape)) for v in values], axis))


def _fold_pack(node: Node, *values: np.ndarray) -> np.ndarray:
    return np.stack(values, int(node.attrs.get("axis", 0)))


def _pieces(emit: Emitter, x: tvm.ir.Expr, where: Any, count: int, axis: int) -> list[tvm.ir.Expr]:
    if count == 1:
        return [x]
    parts = emit(op.split(x, where, axis))
    return [emit(relax.TupleGetItem(parts, i)) for i in range(count)]


def _emit_unpack(emit: Emitter, node: Node, x: Value) -> list[tvm.ir.Expr]:
    shape = list(shape_of(x))
    axis = int(node.attrs.get("axis", 0)) % len(shape)
    count = shape.pop(axis)
    return [emit(op.reshape(p, shape)) for p in _pieces(emit, as_expr(x), count, count, axis)]


def _fold_unpack(node: Node, x: np.ndarray) -> list[np.ndarray]:
    axis = int(node.attrs.get("axis", 0))
    return [np.squeeze(p, axis) for p in np.split(x, x.shape[axis], axis)]


def _emit_split(emit: Emitter, node: Node, axis: Value, x: Value) -> list[tvm.ir.Expr]:
    count = int(node.attrs["num_split"])
    return _pieces(emit, as_expr(x), count, count, known_axis(node, axis, len(shape_of(x))))


def _sections(node: Node, x: Value, sizes: Value, axis: Value) -> tuple[list[int], int]:
    along = known_axis(node, axis, len(shape_of(x)))
    lengths = known_ints(node, sizes, "sizes")
    rest = shape_of(x)[along] - sum(s for s in lengths if s >= 0)
    lengths = [rest if s < 0 else s for s in lengths]
    return [int(end) for end in np.cumsum(lengths)[:-1]], along


def _emit_split_v(
    emit: Emitter, node: Node, x: Value, sizes: Value, axis: Value
) -> list[tvm.ir.Expr]:
    ends, along = _sections(node, x, sizes, axis)
    return _pieces(emit, as_expr(x), ends, len(ends) + 1, along)


def _fold_split_v(
    node: Node, x: np.ndarray, sizes: np.ndarray, axis: np.ndarray
) -> list[np.ndarray]:
    return list(np.split(x, *_sections(node, x, sizes, axis)))


def _emit_reverse(emit: Emitter, node: Node, x: Value, axes: Value) -> tvm.ir.Expr:
    data = as_expr(x)
    for axis in known_ints(node, axes, "axes"):
        data = emit(op.flip(data, axis % len(shape_of(x))))
    return data


def _pass_through(emit: Emitter, node: Node, x: Value) -> tvm.ir.Expr:
    return as_expr(x)


def _identity_n(emit: Emitter, node: Node, *values: Value) -> list[tvm.ir.Expr]:
    return [as_expr(v) for v in values]


_IDENTITY = Converter(_pass_through, lambda node, x: x, "removed")

CONVERTERS: dict[str, Converter] = {
    "BroadcastTo": _to_shape(op.broadcast_to, lambda x, s: np.broadcast_to(x, s).copy()),
    "Concat": Converter(_emit_concat, _fold_concat),
    "ConcatV2": Converter(_emit_concat, _fold_concat),
    "EnsureShape": _IDENTITY,
    "ExpandDims": Converter(
        _emit_expand_dims, lambda node, x, axis: x.reshape(_expanded(node, x, axis))
    ),
    "Identity": _IDENTITY,
    "IdentityN": Converter(_identity_n, lambda node, *values: list(values), "removed"),
    "Pack": Converter(_emit_pack, _fold_pack),
    "PreventGradient": _IDENTITY,
    "Reshape": _to_shape(op.reshape, np.reshape),
    "ReverseV2": Converter(
        _emit_reverse, lambda node, x, axes: np.flip(x, tuple(int(a) for a in axes)).copy()
    ),
    "Snapshot": _IDENTITY,
    "Split": Converter(
        _emit_split,
        lambda node, axis, x: list(np.split(x, int(node.attrs["num_split"]), int(axis))),
    ),
    "SplitV": Converter(_emit_split_v, _fold_split_v),
    "Squeeze": Converter(_emit_squeeze, lambda node, x: x.reshape(_squeezed(node, x))),
    "StopGradient": _IDENTITY,
    "Tile": Converter(_emit_tile, _fold_tile),
    "Transpose": Converter(
        lambda emit, node, x, axes: emit(
            op.permute_dims(as_expr(x), known_ints(node, axes, "permutation"))
        ),
        lambda node, x, axes: np.transpose(x, tuple(axes)),
    ),
    "Unpack": Converter(_emit_unpack, _fold_unpack),
}
