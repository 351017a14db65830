"""Compute convolutions whose windows do not overlap as products: patches of images, 1x1 windows.

A convolution with its stride as its window sees each value once. What it sees at one place is a
row, and all rows are the tokens of the image: the product of them runs on token tiles, with the
bias in it, like any other. Its weight is a matrix from here on; as a layer it stays a convolution,
which nothing runs sparse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

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
from tvm_sparse.passes.known_values import KnownValues

#: By layouts of data and weight: the axes of (batch, channels, height, width) in the data, those of
#: (outputs, inputs, height, width) in the weight.
_LAYOUTS = {
    ("NCHW", "OIHW"): ((0, 1, 2, 3), (0, 1, 2, 3)),
    ("NHWC", "HWIO"): ((0, 3, 1, 2), (3, 2, 0, 1)),
    # Of sequences: images of height 1.
    ("NCW", "OIW"): ((0, 1, -1, 2), (0, 1, -1, 2)),
}


#: The name of a parameter, and an array of what it holds.
_Named: TypeAlias = "tuple[str, np.ndarray]"


@dataclass(frozen=True)
class _Patches:
    """A convolution with what is computed in its product.

    Attributes
    ----------
    data
        Of the convolution.
    weight, bias : (str, ndarray)
        The name of the parameter, and what it holds: a matrix (outputs, values of a patch in the
        order in which rows hold them), and a vector; no bias is None.
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
    weight: _Named
    bias: _Named | None
    channels_first: bool
    window: tuple[int, int]
    grid: tuple[int, int]
    members: tuple[relax.Var, ...]
    as_tokens: bool

    @property
    def parts(self) -> list[_Named]:
        """The weight, and the bias if there is one."""
        return [self.weight] if self.bias is None else [self.weight, self.bias]


def convert(
    mod: tvm.IRModule, params: Mapping[str, np.ndarray]
) -> tuple[tvm.IRModule, dict[str, np.ndarray]]:
    """Rewrite convolutions of patches to products.

    Returns
    -------
    mod : tvm.IRModule
        In place of a weight `w` its function takes `<w>.rows`, (outputs, values of a patch), and
        in place of a bias one of one axis.
    params : dict of str to ndarray
        The weights in that form. Neither `mod` nor `params` is changed.

    Raises
    ------
    PassError
        If the module has no function `main`.
    """
    func = main_function(mod)
    uses = Uses(func)
    known = KnownValues(uses.value, params)
    patches: dict[relax.Var, _Patches] = {}
    arrays: dict[str, np.ndarray] = {}
    for patch in (_patches(binding, uses, known) for binding in bindings(func)):
        # Who shares a weight has it in one form.
        if patch is not None and all(
            np.array_equal(arrays.setdefault(f"{name}.rows", array), array)
            for name, array in patch.parts
        ):
            patches[patch.members[-1]] = patch
    if not patches:
        return mod, dict(params)
    rows = {
        name: relax.Var(name, relax.TensorType(array.shape, "float32"))
        for name, array in arrays.items()
    }
    new_params = {**params, **arrays}
    taken = [*func.params, *rows.values()]
    body = _rewritten(func, patches, rows)
    main = with_read_params(with_params(func, taken, body), new_params)
    names = {var.name for var in main.params}
    return with_main(mod, main), {n: value for n, value in new_params.items() if n in names}


def _rewritten(
    func: relax.Function,
    patches: Mapping[relax.Var, _Patches],
    rows: Mapping[str, relax.Var],
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
                    weight, *bias = (rows[f"{name}.rows"] for name, _ in patch.parts)
                    data = value_of[patch.data]
                    value_of[binding.var] = _multiply(builder, patch, data, weight, *bias)
                elif binding.var not in inner:
                    value = substitute(binding.value, value_of.__getitem__)
                    value_of[binding.var] = builder.emit(value)
            result = builder.emit_output(substitute(func.body.body, value_of.__getitem__))
        builder.emit_func_output(result)
    return relax.analysis.remove_all_unused(builder.get()["main"]).body


def _multiply(
    builder: relax.BlockBuilder,
    patch: _Patches,
    data: relax.Expr,
    weight: relax.Var,
    bias: relax.Var | None = None,
) -> relax.Expr:
    emit, op = builder.emit, relax.op
    result = emit(op.matmul(_rows(builder, patch, data), emit(op.permute_dims(weight))))
    if bias is not None:
        result = emit(op.add(result, bias))
    shape = tensor_shape(patch.members[-1])
    if patch.channels_first and not patch.as_tokens:
        result = emit(op.permute_dims(result, [0, 2, 1]))
    return result if tensor_shape(result) == shape else emit(op.reshape(result, shape))


def _rows(builder: relax.BlockBuilder, patch: _Patches, data: relax.Expr) -> relax.Expr:
    """Return what the convolution sees at each place: (batch, patches, values of a patch)."""
    emit, op = builder.emit, relax.op
    (height, width), (tall, wide) = patch.window, patch.grid
    batch, depth = tensor_shape(data)[0], patch.weight[1].shape[1]
    rows = (batch, tall * wide, depth)
    if patch.window == (1, 1):
        if not patch.channels_first:
            return emit(op.reshape(data, rows))
        merged = emit(op.reshape(data, (batch, depth, tall * wide)))
        return emit(op.permute_dims(merged, [0, 2, 1]))
    if patch.channels_first:
        channels = tensor_shape(data)[1]
        cut = emit(op.reshape(data, (batch, channels, tall, height, wide, width)))
        moved = emit(op.permute_dims(cut, [0, 2, 4, 1, 3, 5]))
    else:
        channels = tensor_shape(data)[3]
        cut = emit(op.reshape(data, (batch, tall, height, wide, width, channels)))
        moved = emit(op.permute_dims(cut, [0, 1, 3, 2, 4, 5]))
    return emit(op.reshape(moved, rows))


def _patches(binding: relax.Binding, uses: Uses, known: KnownValues) -> _Patches | None:
    call = binding.value
    if op_name(call) not in ("relax.nn.conv1d", "relax.nn.conv2d"):
        return None
    attrs = call.attrs
    order = _LAYOUTS.get((str(attrs.data_layout), str(attrs.kernel_layout)))
    weight = _weight(call.args[1], known)
    if order is None or weight is None or int(attrs.groups) != 1 or any(ints(attrs.padding)):
        return None
    of_data, of_kernel = order
    shape, kernel = (*tensor_shape(call.args[0]), 1), (*tensor_shape(call.args[1]), 1)
    window, size = (
        tuple(s[axis] for axis in o[2:]) for s, o in ((kernel, of_kernel), (shape, of_data))
    )
    if not all(isinstance(extent, int) for extent in (*window, *size)):
        return None
    grid = (size[0] // window[0], size[1] // window[1])
    divides = (grid[0] * window[0], grid[1] * window[1]) == size
    strides = (1, *ints(attrs.strides))[-2:]
    if strides != window or not divides or set(ints(attrs.dilation)) != {1}:
        return None
    is_first, units = of_data[1] == 1, kernel[of_kernel[0]]
    name, array = weight
    members, bias = [binding.var], None
    added = uses.only_reader(binding.var)
    if added is not None and op_name(uses.value[added]) == "relax.add":
        bias = _bias(uses.value[added], binding.var, units, is_first, known)
        members += [added] * (bias is not None)
    tokens = _as_tokens(members[-1], uses, grid, is_first)
    turned = np.moveaxis(array, of_kernel[0], 0)
    return _Patches(
        *(call.args[0], (name, np.ascontiguousarray(turned.reshape(units, -1))), bias, is_first),
        *(window, grid, (*members, *tokens), bool(tokens)),
    )


def _weight(expr: relax.Expr, known: KnownValues) -> _Named | None:
    """Return a weight, which may have been reshaped or turned."""
    names = sorted(known.weights_of(expr))
    array = known.of(expr) if len(names) == 1 else None
    return None if array is None else (names[0], array)


def _bias(
    addition: relax.Call, product: relax.Var, units: int, is_first: bool, known: KnownValues
) -> _Named | None:
    """Return the vector that an addition adds to each channel."""
    (other,) = (arg for arg in addition.args if not arg.same_as(product))
    found = _weight(other, known)
    if found is None:
        return None
    name, array = found
    # Behind the channels each place has the same.
    behind = (1,) * (len(tensor_shape(product)) - 2) if is_first else ()
    is_vector = array.size == units and array.shape[array.ndim - len(behind) - 1 :] == (
        units,
        *behind,
    )
    return (name, array.reshape(units)) if is_vector else None


def _as_tokens(
    var: relax.Var, uses: Uses, grid: tuple[int, int], is_first: bool
) -> tuple[relax.Var, ...]:
    """Return what makes (batch, patches, outputs) of a result: a reshape, a transpose, or both."""
    shape, patches = tensor_shape(var), grid[0] * grid[1]
    merged = (shape[0], shape[1], patches) if is_first else (shape[0], patches, shape[3])
    members: list[relax.Var] = []
    reader = uses.only_reader(var)
    if reader is not None and op_name(uses.value[reader]) == "relax.reshape":
        members.append(reader)
        reader = uses.only_reader(reader)
    if tensor_shape((var, *members)[-1]) != merged:
        return ()
    if not is_first:
        return tuple(members)
    if reader is None or op_name(uses.value[reader]) != "relax.permute_dims":
        return ()
    return (*members, reader) if permutation(uses.value[reader]) == [0, 2, 1] else ()
