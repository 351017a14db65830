"""Tensors that depend on no input: computed here, they leave no trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.positions import Positions
from tvm_sparse.importers.torch.operators.operator import (
    Fold,
    Operator,
    everywhere,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Value,
    as_expr,
    shape_of,
)


def _filled(number: Fold) -> Operator:
    """Return an operator of which tensors that it is given tell the shape alone."""

    def fold(node: AtenNode, **arguments: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(number(**arguments), node.dtype), node.shape)

    def emit_filled(emit: Emitter, node: AtenNode, **arguments: Any) -> Value:
        if all(isinstance(extent, int) for extent in node.shape):
            return fold(node, **arguments)
        one = np.full((1,) * len(node.shape), number(**arguments), node.dtype)
        return Positions(emit, one, node.shape)

    return Operator(emit_filled, fold, everywhere)


def _arange(node: AtenNode, end: float, start: float = 0, step: float = 1, **_: Any) -> np.ndarray:
    return np.arange(start, end, step).astype(node.dtype)


def _begins_alike(node: AtenNode, end: Any, **others: Any) -> bool:
    return everywhere(node, **others)


def _scalar(node: AtenNode, s: float, **_: Any) -> np.ndarray:
    return np.asarray(s, node.dtype)


def _band(emit: Emitter, node: AtenNode, x: tvm.ir.Expr, diagonal: int = 0) -> tvm.ir.Expr:
    """Keep the lower or upper triangle of matrices."""
    shape = shape_of(x)[-2:]
    kept = _fold_band(node, np.ones(emit.limits.largest(shape), bool), diagonal)
    mask = as_expr(Positions(emit, kept, shape))
    return emit(relax.op.where(mask, x, relax.const(0, x.ty.dtype)))


def _fold_band(node: AtenNode, x: np.ndarray, diagonal: int = 0) -> np.ndarray:
    return (np.tril if node.op.startswith("tril") else np.triu)(x, diagonal)


def _constant(fold: Fold) -> Operator:
    return Operator(lambda emit, node, **arguments: fold(node, **arguments), fold)


_ONES, _ZEROS = _filled(lambda **_: 1), _filled(lambda **_: 0)
_FULL = _filled(lambda fill_value, **_: fill_value)
_RANGE = Operator(
    lambda emit, node, **arguments: _arange(node, **arguments), _arange, _begins_alike
)
_TRIANGLE = Operator(_band, _fold_band, everywhere)
OPERATORS: dict[str, Operator] = {
    "arange.default": _RANGE,
    "arange.start": _RANGE,
    "arange.start_step": _RANGE,
    "eye.default": _constant(lambda node, n, **_: np.eye(n, dtype=node.dtype)),
    "full.default": _FULL,
    "full_like.default": _FULL,
    "new_full.default": _FULL,
    "new_ones.default": _ONES,
    "new_zeros.default": _ZEROS,
    "ones.default": _ONES,
    "ones_like.default": _ONES,
    "scalar_tensor.default": _constant(_scalar),
    "tril.default": _TRIANGLE,
    "triu.default": _TRIANGLE,
    "zeros.default": _ZEROS,
    "zeros_like.default": _ZEROS,
}
