"""Reading Relax expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import tvm
from tvm import relax

from tvm_sparse.errors import PassError
from tvm_sparse.ir.dims import Dim, dim

MATMUL = tvm.ir.Op.get("relax.matmul")
PERMUTE_DIMS = tvm.ir.Op.get("relax.permute_dims")


def op_name(expr: relax.Expr) -> str:
    """Return the name of the operator that `expr` calls, or an empty string."""
    calls = isinstance(expr, relax.Call) and isinstance(expr.op, tvm.ir.Op)
    return str(expr.op.name) if calls else ""


def tensor_shape(expr: relax.Expr) -> tuple[Dim, ...]:
    """Return the shape of a tensor expression; equal extents are equal and hash alike.

    Raises
    ------
    PassError
        If a dimension is not known, even as an expression in the batch and the length.
    """
    shape = expr.ty.shape
    if shape is None or not hasattr(shape, "values"):
        raise PassError(f"the shape of {expr} is unknown: import the model with static shapes")
    return tuple(dim(extent) for extent in shape.values)


def static_shape(expr: relax.Expr) -> tuple[int, ...]:
    """Return the shape of a tensor expression as integers.

    Raises
    ------
    PassError
        If a dimension is not known at compile time.
    """
    shape = expr.ty.shape
    if shape is None:
        raise PassError(f"the shape of {expr} is unknown: import the model with static shapes")
    try:
        return tuple(int(dim) for dim in shape.values)
    except TypeError as error:
        raise PassError(f"shape {shape} given: all dimensions must be static") from error


def tensor_type(shape: Sequence[Dim], dtype: str = "float32") -> relax.TensorType:
    """Return the type of a tensor whose extents are numbers or expressions."""
    return relax.TensorType([dim(extent) for extent in shape], dtype)


def scalar_value(expr: relax.Expr) -> float | None:
    """Return the value of a constant of one element, None for anything else."""
    if not isinstance(expr, tvm.ir.GenericConst):
        return None
    array = expr.value.numpy()
    return float(array.item()) if array.size == 1 else None


def ints(values: Iterable[int]) -> list[int]:
    """Return an attribute that holds integers as a Python list."""
    return [int(value) for value in values]


def permutation(permute_dims: relax.Call) -> list[int]:
    """Return the axes of a `permute_dims`, counted from the front."""
    rank = permute_dims.args[0].ty.ndim
    axes = permute_dims.attrs.axes
    # No axes means reversed ones.
    return list(range(rank))[::-1] if axes is None else [axis % rank for axis in ints(axes)]


def substitute(expr: relax.Expr, value_of: Callable[[relax.Var], relax.Expr]) -> relax.Expr:
    """Return a copy of what a binding holds, in A-normal form, over the variables of `value_of`."""
    if isinstance(expr, relax.Var):
        # An extent that the run decides stands for itself.
        return expr if isinstance(expr.ty, tvm.ir.PrimType) else value_of(expr)
    if isinstance(expr, relax.Tuple):
        return relax.Tuple([substitute(field, value_of) for field in expr.fields])
    if isinstance(expr, relax.TupleGetItem):
        return relax.TupleGetItem(substitute(expr.tuple_value, value_of), expr.index)
    if isinstance(expr, relax.Call):
        args = [substitute(arg, value_of) for arg in expr.args]
        return relax.Call(expr.op, args, expr.attrs, expr.ty_args)
    return expr
