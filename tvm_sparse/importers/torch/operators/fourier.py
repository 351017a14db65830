"""Fourier transforms, as products with their matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.torch.operators.operator import (
    Operator,
)
from tvm_sparse.importers.torch.program import AtenNode
from tvm_sparse.importers.values import Complex, Value, as_expr, axis, shape_of

op = relax.op


def _emit_transform(
    emit: Emitter, node: AtenNode, x: Complex, dim: list[int], normalization: int, forward: bool
) -> Complex:
    """Multiply axis by axis; of the imaginary part what nobody reads is never computed."""
    if normalization:
        raise node.error(f"normalization {normalization} given: only 0, none, is imported")
    sign = 1 if forward else -1
    for one in reversed(dim):
        along = axis(one, len(node.shape))
        extent = node.shape[along]
        angles = 2 * np.pi / extent * (np.outer(range(extent), range(extent)) % extent)
        cos, sin = np.cos(angles), sign * np.sin(angles)
        if x.imag is None:
            x = Complex(_along(emit, x.real, cos, along), _along(emit, x.real, -sin, along))
            continue
        real = op.add(_along(emit, x.real, cos, along), _along(emit, x.imag, sin, along))
        imag = op.subtract(_along(emit, x.imag, cos, along), _along(emit, x.real, sin, along))
        x = Complex(emit(real), emit(imag))
    return x


def _along(emit: Emitter, x: Value, matrix: np.ndarray, along: int) -> tvm.ir.Expr:
    """Multiply an axis with a symmetric matrix."""
    rank, values = len(shape_of(x)), as_expr(matrix.astype("float32"))
    if along == rank - 1:
        return emit(op.matmul(as_expr(x), values))
    if along == rank - 2:
        return emit(op.matmul(values, as_expr(x)))
    order = list(range(rank))
    order[along], order[-1] = order[-1], order[along]
    last = emit(op.permute_dims(as_expr(x), order))
    return emit(op.permute_dims(emit(op.matmul(last, values)), order))


def _emit_parts(emit: Emitter, node: AtenNode, x: Complex) -> tvm.ir.Expr:
    """Put real and imaginary parts beside each other."""
    parts = [x.real, np.zeros(shape_of(x.real), "float32") if x.imag is None else x.imag]
    place = len(shape_of(x.real))
    return emit(op.concat([emit(op.expand_dims(as_expr(part), place)) for part in parts], place))


def _emit_real(emit: Emitter, node: AtenNode, x: Any) -> Value:
    return x.real if isinstance(x, Complex) else x


OPERATORS: dict[str, Operator] = {
    "_fft_c2c.default": Operator(_emit_transform),
    "real.default": Operator(_emit_real),
    "view_as_real.default": Operator(_emit_parts),
}
