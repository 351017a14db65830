"""Values of an import, known or computed at run time, and the dtypes that modules have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.extents import is_extent
from tvm_sparse.importers.positions import Positions
from tvm_sparse.ir.dims import Dim
from tvm_sparse.ir.expressions import tensor_shape

#: A tensor during the import: known now, as its framework has it; known up to the largest batch and
#: length; or computed at run time.
Value: TypeAlias = np.ndarray | Positions | tvm.ir.Expr

#: What stands for minus infinity, which only masks have.
LOWEST = float(np.finfo("float32").min)
#: Frameworks count in 64 bits; the module has ids, and what is computed of them, in 32.
_NARROW = {
    "int64": "int32",
    "int16": "int32",
    "int8": "int32",
    "uint8": "int32",
    "float64": "float32",
}


@dataclass(frozen=True)
class Complex:
    """A tensor of complex numbers while it is imported: a module has none.

    `imag` is None where all imaginary parts are zero.
    """

    real: Value
    imag: Value | None = None


def narrow(dtype: str) -> str:
    """Return the dtype that values of a framework's dtype have in the module."""
    return _NARROW.get(dtype, dtype)


def shape_of(value: Value) -> tuple[Dim, ...]:
    """Return the shape of a value."""
    return value.shape if isinstance(value, np.ndarray | Positions) else tensor_shape(value)


def dtype_of(value: Value) -> str:
    """Return the dtype of a value, as numpy calls it."""
    return str(value.dtype if isinstance(value, np.ndarray | Positions) else value.ty.dtype)


def as_expr(value: Any, dtype: str | None = None) -> tvm.ir.Expr:
    """Return a value as a Relax expression, a number as a constant of `dtype`.

    Raises
    ------
    ValueError
        An integer does not fit 32 bits.
    """
    if isinstance(value, bool | int | float):
        return relax.const(value, dtype)
    if isinstance(value, Positions):
        return value.as_expr(known_constant)
    return known_constant(value) if isinstance(value, np.ndarray) else value


def known_constant(value: np.ndarray) -> tvm.ir.Expr:
    """Return an array as a constant of the module; raises as `as_expr` does."""
    dtype = narrow(str(value.dtype))
    if dtype == "int32" and value.size and max(-value.min(), value.max()) >= 1 << 31:
        raise ValueError("an integer of more than 32 bits given")
    if dtype == "float32":  # of a mask, which may be of 64 bits
        value = np.clip(value, LOWEST, -LOWEST)
    return relax.const(np.ascontiguousarray(value).astype(dtype), dtype)


def cast(emit: Any, value: Any, dtype: str) -> tvm.ir.Expr:
    """Return a value as an expression of a dtype.

    Raises
    ------
    ValueError
        It is an extent that the run decides.
    """
    if is_extent(value):
        raise ValueError(f"the extent {value} is computed with as a number")
    expr = as_expr(value, dtype)
    return expr if str(expr.ty.dtype) == dtype else emit(relax.op.astype(expr, dtype))


def common(*values: Any) -> str:
    """Return the dtype that is computed in, of tensors and of numbers beside them."""
    tensors = [narrow(dtype_of(v)) for v in values if not isinstance(v, bool | int | float)]
    order = ["bool", "int32", "float32"]
    dtype = max(tensors, key=order.index)
    numbers = [v for v in values if isinstance(v, bool | int | float)]
    if any(isinstance(v, float) for v in numbers):
        return "float32"
    if dtype == "bool" and not all(isinstance(v, bool) for v in numbers):
        return "int32"
    return dtype


@overload
def from_front(indices: np.ndarray, extent: Dim) -> np.ndarray: ...
@overload
def from_front(indices: np.ndarray | Positions, extent: Dim) -> np.ndarray | Positions: ...
def from_front(indices: np.ndarray | Positions, extent: Dim) -> np.ndarray | Positions:
    """Return known indices into an axis counted from its front.

    Raises
    ------
    ValueError
        One counts from the end of an axis whose extent the run decides.
    """
    array = indices.array if isinstance(indices, Positions) else indices
    if not bool((array < 0).any()):
        return indices
    if not isinstance(extent, int):
        raise ValueError(f"an index from the end of {extent} places given")
    wrapped = np.where(array < 0, array + extent, array)
    return indices.changed(wrapped, indices.shape) if isinstance(indices, Positions) else wrapped


def axis(value: int, rank: int) -> int:
    """Return an axis counted from the front."""
    return value % rank if rank else 0


def axes(value: int | list[int] | None, rank: int) -> list[int]:
    """Return axes counted from the front, all of them for none."""
    if value is None or value == []:
        return list(range(rank))
    return [axis(one, rank) for one in ([value] if isinstance(value, int) else value)]
