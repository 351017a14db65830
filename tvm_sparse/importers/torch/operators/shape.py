"""Shapes, transposes, broadcasts and joining."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.repeats import repeated
from tvm_sparse.importers.torch.operators.operator import (
    Operator,
    everywhere,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    axis,
    cast,
    narrow,
    shape_of,
)

op = relax.op


def _emit_reshape(emit: Emitter, node: AtenNode, x: Value, **_: Any) -> tvm.ir.Expr:
    return emit(op.reshape(as_expr(x), node.shape))


def _fold_reshape(node: AtenNode, x: np.ndarray, **_: Any) -> np.ndarray:
    return x.reshape(node.shape)


def _keeps_places(node: AtenNode, x: Value, **_: Any) -> bool:
    """Return whether a reshape leaves the axes that the run decides about as they are."""
    before, after = ([n for n in shape if n != 1] for shape in (shape_of(x), node.shape))
    count = 1 + max((i for i, n in enumerate(before) if not isinstance(n, int)), default=-1)
    return before[:count] == after[:count]


def _permutation(op_name: str, rank: int, dims: list[int]) -> list[int]:
    if op_name == "permute.default":
        return [axis(dim, rank) for dim in dims]
    order = list(range(rank))
    if rank:
        first, second = (axis(dim, rank) for dim in dims)
        order[first], order[second] = order[second], order[first]
    return order


def _emit_permute(emit: Emitter, node: AtenNode, x: Value, dims: list[int]) -> tvm.ir.Expr:
    return emit(op.permute_dims(as_expr(x), _permutation(node.op, len(shape_of(x)), dims)))


def _fold_permute(node: AtenNode, x: np.ndarray, dims: list[int]) -> np.ndarray:
    return x.transpose(_permutation(node.op, x.ndim, dims))


def _emit_expand(emit: Emitter, node: AtenNode, x: Value, **_: Any) -> tvm.ir.Expr:
    if shape_of(x) == node.shape:
        return as_expr(x)
    return emit(op.broadcast_to(as_expr(x), node.shape))


def _fold_expand(node: AtenNode, x: np.ndarray, **_: Any) -> np.ndarray:
    return np.broadcast_to(x, node.shape)


def _emit_repeat(emit: Emitter, node: AtenNode, x: Value, repeats: list[int]) -> tvm.ir.Expr:
    shape = (1,) * (len(repeats) - len(shape_of(x))) + shape_of(x)
    return repeated(emit, emit(op.reshape(as_expr(x), shape)), repeats)


def _emit_repeat_interleave(
    emit: Emitter, node: AtenNode, x: Value, repeats: int, dim: int = 0, **_: Any
) -> tvm.ir.Expr:
    return emit(op.repeat(as_expr(x), repeats, axis(dim, len(shape_of(x)))))


def _emit_cat(emit: Emitter, node: AtenNode, tensors: list[Value], dim: int = 0) -> tvm.ir.Expr:
    parts = [cast(emit, part, narrow(node.dtype)) for part in tensors if shape_of(part) != (0,)]
    return emit(op.concat(parts, axis(dim, len(node.shape))))


def _fold_cat(node: AtenNode, tensors: list[np.ndarray], dim: int = 0) -> np.ndarray:
    parts = [part for part in tensors if part.shape != (0,)]
    return np.concatenate(parts, axis(dim, len(node.shape)))


def _is_fixed(node: AtenNode, dim: int = 0, **_: Any) -> bool:
    return isinstance(node.shape[axis(dim, len(node.shape))], int)


def _emit_stack(emit: Emitter, node: AtenNode, tensors: list[Value], dim: int = 0) -> tvm.ir.Expr:
    place = axis(dim, len(node.shape))
    rows = [emit(op.expand_dims(cast(emit, part, narrow(node.dtype)), place)) for part in tensors]
    return emit(op.concat(rows, place))


def _emit_flip(emit: Emitter, node: AtenNode, x: Value, dims: list[int]) -> tvm.ir.Expr:
    result = as_expr(x)
    for dim in dims:
        result = emit(op.flip(result, axis(dim, len(node.shape))))
    return result


_RESHAPES = (
    *("_unsafe_view.default", "flatten.using_ints", "reshape.default", "squeeze.default"),
    *("squeeze.dim", "squeeze.dims", "unflatten.int", "unsqueeze.default", "view.default"),
    "view_as.default",
)
_EXPAND = Operator(_emit_expand, _fold_expand, everywhere)
_CAT = Operator(_emit_cat, _fold_cat, _is_fixed)
OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(_RESHAPES, Operator(_emit_reshape, _fold_reshape, _keeps_places)),
    "broadcast_to.default": _EXPAND,
    "cat.default": _CAT,
    "concat.default": _CAT,
    "expand.default": _EXPAND,
    "expand_as.default": _EXPAND,
    "flip.default": Operator(_emit_flip, lambda node, x, dims: np.flip(x, dims)),
    "permute.default": Operator(_emit_permute, _fold_permute, everywhere),
    "repeat.default": Operator(
        _emit_repeat, lambda node, x, repeats: np.tile(x, repeats).reshape(node.shape)
    ),
    "repeat_interleave.self_int": Operator(_emit_repeat_interleave),
    "stack.default": Operator(
        _emit_stack,
        lambda node, tensors, dim=0: np.stack(tensors, axis(dim, len(node.shape))),
        _is_fixed,
    ),
    "t.default": Operator(
        lambda emit, node, x: emit(op.permute_dims(as_expr(x))), lambda node, x: x.T, everywhere
    ),
    "transpose.int": Operator(
        lambda emit, node, x, dim0, dim1: _emit_permute(emit, node, x, [dim0, dim1]),
        lambda node, x, dim0, dim1: _fold_permute(node, x, [dim0, dim1]),
        everywhere,
    ),
}
