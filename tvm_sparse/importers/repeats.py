"""Tensors repeated along their axes, also as often as the run says."""

from __future__ import annotations

from collections.abc import Sequence

import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.ir.dims import Dim, product
from tvm_sparse.ir.expressions import tensor_shape

op = relax.op


def repeated(emit: Emitter, x: tvm.ir.Expr, times: Sequence[Dim]) -> tvm.ir.Expr:
    """Return a tensor as many times along each axis, one after the other."""
    if all(isinstance(number, int) for number in times):
        return emit(op.tile(x, times))
    # Relax repeats a number of times alone: repeat new axes, and merge them into the old ones.
    shape = tensor_shape(x)
    paired = [d for extent in shape for d in (1, extent)]
    spread = [d for pair in zip(times, shape, strict=True) for d in pair]
    whole = emit(op.broadcast_to(emit(op.reshape(x, paired)), spread))
    return emit(op.reshape(whole, [product(p) for p in zip(times, shape, strict=True)]))
