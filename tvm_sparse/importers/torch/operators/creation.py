"""Tensors that depend on no input: computed here, they leave no trace."""

from __future__ import annotations

from typing import Any

import numpy as np

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.torch.operators.operator import (
    Fold,
    Operator,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import (
    Value,
    shape_of,
)


def _made(fold: Fold) -> Operator:
    """Return an operator of which tensors it is given tell the shape alone."""
    return Operator(lambda emit, node, **arguments: fold(node, **arguments), fold)


def _arange(node: AtenNode, end: float, start: float = 0, step: float = 1, **_: Any) -> np.ndarray:
    return np.arange(start, end, step).astype(node.dtype)


def _filled(number: float) -> Fold:
    return lambda node, **_: np.full(node.shape, number, node.dtype)


def _full(node: AtenNode, fill_value: float, **_: Any) -> np.ndarray:
    return np.full(node.shape, fill_value, node.dtype)


def _scalar(node: AtenNode, s: float, **_: Any) -> np.ndarray:
    return np.asarray(s, node.dtype)


def _band(emit: Emitter, node: AtenNode, x: Value, diagonal: int = 0) -> Any:
    """Keep the lower or upper triangle of matrices."""
    from tvm import relax

    if isinstance(x, np.ndarray):
        return (np.tril if node.op.startswith("tril") else np.triu)(x, diagonal)
    kept = (np.tril if node.op.startswith("tril") else np.triu)(np.ones(shape_of(x)[-2:]), diagonal)
    zero = relax.const(0, x.ty.dtype)
    return emit(relax.op.where(relax.const(kept.astype(bool)), x, zero))


_ONES, _ZEROS, _FULL = _made(_filled(1)), _made(_filled(0)), _made(_full)
OPERATORS: dict[str, Operator] = {
    "arange.default": _made(_arange),
    "arange.start": _made(_arange),
    "arange.start_step": _made(_arange),
    "eye.default": _made(lambda node, n, **_: np.eye(n, dtype=node.dtype)),
    "full.default": _FULL,
    "full_like.default": _FULL,
    "new_full.default": _FULL,
    "new_ones.default": _ONES,
    "new_zeros.default": _ZEROS,
    "ones.default": _ONES,
    "ones_like.default": _ONES,
    "scalar_tensor.default": _made(_scalar),
    "tril.default": Operator(_band),
    "triu.default": Operator(_band),
    "zeros.default": _ZEROS,
    "zeros_like.default": _ZEROS,
}
