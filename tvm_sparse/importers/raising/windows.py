"""Attention in windows of an image: windows are sequences, and each has a mask of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Expr
from tvm_sparse.ir.dims import Dim, product
from tvm_sparse.ir.expressions import tensor_shape


def masked_windows(flow: Dataflow, expr: Expr, shape: tuple[Dim, ...]) -> tuple[Expr, Expr] | None:
    """Return scores and what is added to them, if `expr` adds it with windows beside images.

    Shifted windows meet pixels of other borders, which a mask hides: scores (images * windows,
    heads, queries, keys) are regrouped to five axes, masked, and regrouped back. The mask, of
    known values, has the four axes here, the first and second of them 1 or as in `shape`.
    """
    merged = flow.match(expr, "relax.reshape")
    if merged is None or len(shape) != 4:
        return None
    grouped = tensor_shape(merged.args[0])
    if len(grouped) != 5 or (product(grouped[:2]), *grouped[2:]) != shape:
        return None
    for data, mask in flow.sum_of(merged.args[0]):
        split = flow.match(data, "relax.reshape")
        if not isinstance(mask, tvm.ir.GenericConst) or split is None:
            continue
        values: Any = mask.value.numpy()
        if tensor_shape(split.args[0]) == shape and values.ndim == 5:
            windows = np.broadcast_to(values, (*grouped[:2], *values.shape[2:]))
            own = windows.reshape(-1, *values.shape[2:])
            return split.args[0], relax.const(np.ascontiguousarray(own), str(values.dtype))
    return None
