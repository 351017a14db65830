"""Main diagonals and bands of matrices: masks known at import choose between two values."""

from __future__ import annotations

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


def _main_only(node: Node, k: Value | None) -> None:
    if k is not None and set(known_ints(node, k, "diagonal number")) != {0}:
        raise node.error("only the main diagonal (k = 0) is supported")


def _check_extents(node: Node, size: int, *extents: Value | None) -> None:
    wanted = [known_ints(node, v, "size")[0] for v in extents if v is not None]
    if set(wanted) - {-1, size}:
        raise node.error(f"{size} diagonal elements given for a matrix of {wanted}")


def _as_column(emit: Emitter, diagonal: Value) -> tvm.ir.Expr:
    return emit(op.reshape(as_expr(diagonal), (*shape_of(diagonal), 1)))


def _emit_diag(
    emit: Emitter,
    node: Node,
    diagonal: Value,
    k: Value | None = None,
    num_rows: Value | None = None,
    num_cols: Value | None = None,
    padding: Value | None = None,
) -> tvm.ir.Expr:
    _main_only(node, k)
    size = shape_of(diagonal)[-1]
    _check_extents(node, size, num_rows, num_cols)
    fill = np.zeros((), dtype_of(diagonal)) if padding is None else padding
    on_diagonal = relax.const(np.eye(size, dtype=bool))
    return emit(op.where(on_diagonal, _as_column(emit, diagonal), as_expr(fill)))


def _emit_set_diag(
    emit: Emitter, node: Node, x: Value, diagonal: Value, k: Value | None = None
) -> tvm.ir.Expr:
    _main_only(node, k)
    rows, cols = shape_of(x)[-2:]
    if rows > cols:
        raise node.error(f"matrices of {rows}x{cols} given; they must not be taller than wide")
    on_diagonal = relax.const(np.eye(rows, cols, dtype=bool))
    return emit(op.where(on_diagonal, _as_column(emit, diagonal), as_expr(x)))


def _fold_set_diag(
    node: Node, x: np.ndarray, diagonal: np.ndarray, k: np.ndarray | None = None
) -> np.ndarray:
    _main_only(node, k)
    out = x.copy()
    along = np.arange(min(x.shape[-2:]))
    out[..., along, along] = diagonal
    return out


def _band(node: Node, shape: tuple[int, ...], lower: Value, upper: Value) -> np.ndarray:
    (below,), (above,) = known_ints(node, lower, "lower"), known_ints(node, upper, "upper")
    rows, cols = np.indices(shape[-2:])
    return ((below < 0) | (rows - cols <= below)) & ((above < 0) | (cols - rows <= above))


def _emit_band(emit: Emitter, node: Node, x: Value, lower: Value, upper: Value) -> tvm.ir.Expr:
    keep = relax.const(_band(node, shape_of(x), lower, upper))
    return emit(op.where(keep, as_expr(x), relax.const(0, dtype_of(x))))


def _fold_band(node: Node, x: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    return np.where(_band(node, x.shape, lower, upper), x, x.dtype.type(0))


def _fold_diag(
    node: Node,
    diagonal: np.ndarray,
    k: np.ndarray | None = None,
    num_rows: np.ndarray | None = None,
    num_cols: np.ndarray | None = None,
    padding: np.ndarray | None = None,
) -> np.ndarray:
    size = diagonal.shape[-1]
    fill = np.full((*diagonal.shape, size), 0 if padding is None else padding, diagonal.dtype)
    _check_extents(node, size, num_rows, num_cols)
    return _fold_set_diag(node, fill, diagonal, k)


_MAIN = "main diagonal"

CONVERTERS: dict[str, Converter] = {
    "MatrixBandPart": Converter(_emit_band, _fold_band),
    "MatrixDiag": Converter(_emit_diag, _fold_diag),
    "MatrixDiagV2": Converter(_emit_diag, _fold_diag, _MAIN),
    "MatrixDiagV3": Converter(_emit_diag, _fold_diag, _MAIN),
    "MatrixSetDiag": Converter(_emit_set_diag, _fold_set_diag),
    "MatrixSetDiagV2": Converter(_emit_set_diag, _fold_set_diag, _MAIN),
    "MatrixSetDiagV3": Converter(_emit_set_diag, _fold_set_diag, _MAIN),
}
