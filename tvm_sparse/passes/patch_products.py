"""Compute convolutions whose windows do not overlap as products: patches of images, 1x1 windows.

A convolution with its stride as its window sees each value once. What it sees at one place is a
row, and all rows are the tokens of the image: the product of them runs on token tiles, with the
bias in it, like any other. Its weight is a matrix from here on; as a layer it stays a convolution,
which nothing runs sparse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.ir.expressions import ints, op_name, permutation, substitute, tensor_shape
from tvm_sparse.ir.functions import (
    Uses,
    bindings,
    main_function,
    with_main,
    with_params,
    with_read_params,
)

#: By layouts of data and weight: the axes of (batch, channels, height, width) in the data, those of
#: (outputs, inputs, height, width) in the weight.
_LAYOUTS = {
    ("NCHW", "OIHW"): ((0, 1, 2, 3), (0, 1, 2, 3)),
    ("NHWC", "HWIO"): ((0, 3, 1, 2), (3, 2, 0, 1)),
}


@dataclass(frozen=True)
class _Patches:
    """A convolution with what is computed in its product.

    Attributes
    ----------
    data, weight, bias
        Of the convolution; no bias is None.
    channels_first : bool
        Whether data are (batch, channels, height, width).
    window, grid : (int, int)
        Height and width of a patch, and how many there are.
    members : tuple of Var
        The convolution, and what follows; the last one is the result.
    as_tokens : bool
        Whether the result is (batch, patches, outputs), and not of the form of the data.
    """

    data: relax.Var
    weight: relax.Var
    bias: relax.Var | None
    channels_first: bool
    window: tuple[int, int]
    grid: tuple[int, int]
    members: tuple[relax.Var, ...]
    as_tokens: bool


def convert(
    mod: tvm.IRModule, params: Mapping[str, np.ndarray]
) -> tuple[tvm.IRModule, dict[str, np.ndarray]]:
    """Rewrite convolutions of patches to products.

    Returns
    -------
    mod : tvm.IRModule
        In place of a weight `w` its function takes `<w>.rows`, (outputs, values of a patch).
    params : dict of str to ndarray
        The weights in that form. Neither `mod` nor `params` is changed.

    Raises
    ------
    PassError
        If the module has no function `main`.
    """
    func = main_function(mod)
    uses, weights = Uses(func), {var for var in func.params if var.name in params}
    found = [_patches(binding, uses, weights) for binding in bindings(func)]
    patches = {patch.members[-1]: patch for patch in found if patch is not None}
    if not patches:
        return mod, dict(params)
    matrices = {
        patch.weight: _matrix(params[patch.weight.name], patch) for patch in patches.values()
    }
    rows = {
        var: relax.Var(f"{var.name}.rows", relax.TensorType(matrix.shape, "float32"))
        for var, matrix in matrices.items()
    }
    new_params = {**params, **{rows[var].name: matrix for var, matrix in matrices.items()}}
    taken = [*func.params, *rows.values()]
    body = _rewritten(func, patches, rows)
    main = with_read_params(with_params(func, taken, body), new_params)
    names = {var.name for var in main.params}
    return with_main(mod, main), {n: value for n, value in new_params.items() if n in names}


def _rewritten(
    func: relax.Function,
    patches: Mapping[relax.Var, _Patches],
    rows: Mapping[relax.Var, relax.Var],
) -> relax.Expr:
    inner = {var for patch in patches.values() for var in patch.members[:-1]}
    builder = relax.BlockBuilder()
    value_of: dict[relax.Var, relax.Expr] = {var: var for var in func.params}
    taken = [*func.params, *rows.values()]
    with builder.function("main", taken, attrs=dict(func.attrs)):
        with builder.dataflow():
            for binding in bindings(func):
                if binding.var in patches:
                    patch = patches[binding.var]
                    data, weight = value_of[patch.data], rows[patch.weight]
                    value_of[binding.var] = _multiply(builder, patch, data, weight)
                elif binding.var not in inner:
                    value = substitute(binding.value, value_of.__getitem__)
                    value_of[binding.var] = builder.emit(value)
            result = builder.emit_output(substitute(func.body.body, value_of.__getitem__))
        builder.emit_func_output(result)
    return relax.analysis.remove_all_unused(builder.get()["main"]).body


def _multiply(
    builder: relax.BlockBuilder, patch: _Patches, data: relax.Expr, weight: relax.Expr
) -> relax.Expr:
    emit, op = builder.emit, relax.op
    (height, width), (tall, wide) = patch.window, patch.grid
    batch = tensor_shape(data)[0]
    units, depth = tensor_shape(weight)
    if patch.channels_first:
        channels = tensor_shape(data)[1]
        cut = emit(op.reshape(data, (batch, channels, tall, height, wide, width)))
        moved = emit(op.permute_dims(cut, [0, 2, 4, 1, 3, 5]))
    else:
        channels = tensor_shape(data)[3]
        cut = emit(op.reshape(data, (batch, tall, height, wide, width, channels)))
        moved = emit(op.permute_dims(cut, [0, 1, 3, 2, 4, 5]))
    tokens = emit(op.reshape(moved, (batch, tall * wide, depth)))
    result = emit(op.matmul(tokens, emit(op.permute_dims(weight))))
    if patch.bias is not None:
        result = emit(op.add(result, patch.bias))
    if patch.as_tokens:
        return result
    if patch.channels_first:
        moved = emit(op.permute_dims(result, [0, 2, 1]))
        return emit(op.reshape(moved, (batch, units, tall, wide)))
    return emit(op.reshape(result, (batch, tall, wide, units)))


def _matrix(weight: np.ndarray, patch: _Patches) -> np.ndarray:
    """Return a weight as (outputs, values of a patch in the order in which rows hold them)."""
    if not patch.channels_first:
        weight = weight.transpose(3, 0, 1, 2)
    return np.ascontiguousarray(weight.reshape(weight.shape[0], -1))


def _patches(binding: relax.Binding, uses: Uses, weights: set[relax.Var]) -> _Patches | None:
    call = binding.value
    if op_name(call) != "relax.nn.conv2d" or call.args[1] not in weights:
        return None
    attrs = call.attrs
    order = _LAYOUTS.get((str(attrs.data_layout), str(attrs.kernel_layout)))
    if order is None or int(attrs.groups) != 1 or any(ints(attrs.padding)):
        return None
    shape, kernel = tensor_shape(call.args[0]), tensor_shape(call.args[1])
    _, _, high, across = (shape[axis] for axis in order[0])
    units, _, height, width = (kernel[axis] for axis in order[1])
    window, size = (height, width), (high, across)
    if not all(isinstance(extent, int) for extent in (*window, *size)):
        return None
    grid = (size[0] // window[0], size[1] // window[1])
    divides = (grid[0] * window[0], grid[1] * window[1]) == size
    if tuple(ints(attrs.strides)) != window or not divides or set(ints(attrs.dilation)) != {1}:
        return None
    members, bias = [binding.var], None
    is_first = order[0][1] == 1
    added = uses.only_reader(binding.var)
    if added is not None and op_name(uses.value[added]) == "relax.add":
        bias = _bias(uses.value[added], binding.var, units if is_first else 0, uses, weights)
        members += [added] * (bias is not None)
    tokens = _as_tokens(members[-1], uses, grid) if is_first else ()
    return _Patches(
        *(call.args[0], call.args[1], bias, is_first),
        *(window, grid, (*members, *tokens), bool(tokens)),
    )


def _bias(
    addition: relax.Call, product: relax.Var, units: int, uses: Uses, weights: set[relax.Var]
) -> relax.Var | None:
    """Return the vector that an addition adds to each channel: of `units`, 0 where it is last."""
    (other,) = (arg for arg in addition.args if not arg.same_as(product))
    if not units:
        return other if other in weights and len(tensor_shape(other)) == 1 else None
    spread = uses.value.get(other) if isinstance(other, relax.Var) else None
    if spread is None or op_name(spread) != "relax.reshape" or spread.args[0] not in weights:
        return None
    is_vector = tensor_shape(spread.args[0]) == (units,)
    return spread.args[0] if is_vector and tensor_shape(other)[-3:] == (units, 1, 1) else None


def _as_tokens(var: relax.Var, uses: Uses, grid: tuple[int, int]) -> tuple[relax.Var, ...]:
    """Return the reshape and the transpose that make (batch, patches, outputs) of a result."""
    merged = uses.only_reader(var)
    if merged is None or op_name(uses.value[merged]) != "relax.reshape":
        return ()
    batch, units = tensor_shape(var)[:2]
    moved = uses.only_reader(merged)
    if moved is None or op_name(uses.value[moved]) != "relax.permute_dims":
        return ()
    is_merged = tensor_shape(merged) == (batch, units, grid[0] * grid[1])
    return (merged, moved) if is_merged and permutation(uses.value[moved]) == [0, 2, 1] else ()
