"""Compute of the last layers what is read of them: a classifier reads the first token alone.

A head that takes `x[:, :1]` leaves most of what is behind the last attention unread: products,
norms and queries of the other tokens. Keys and values are needed of all tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import tvm
from tvm import relax

from tvm_sparse.ir.dims import Dim, dim
from tvm_sparse.ir.expressions import op_name, substitute, tensor_shape
from tvm_sparse.ir.functions import bindings, main_function, parameters, with_main
from tvm_sparse.ops.sparse_dense import SparseDense
from tvm_sparse.passes.dense_chains import ATTENTION, EPILOGUE_ACTIVATIONS

_ELEMENTWISE = {
    *EPILOGUE_ACTIVATIONS,
    *(f"relax.{name}" for name in ("add", "divide", "erf", "exp", "multiply", "sqrt", "subtract")),
}
_NORMS = {"relax.nn.layer_norm", "relax.nn.rms_norm"}
_FIRST = ((1,), (0,), (1,))


def convert(mod: tvm.IRModule) -> tvm.IRModule:
    """Compute first tokens alone where nothing else is read; `mod` is not changed.

    Raises
    ------
    PassError
        If the module has no function `main`, or the shape of a tensor is not known.
    """
    func = main_function(mod)
    narrow = _read_for_first_tokens(func)
    if not narrow:
        return mod
    bb = relax.BlockBuilder()
    values: dict[relax.Var, relax.Expr] = {}
    firsts: dict[relax.Var, relax.Var] = {}

    def first(var: relax.Var) -> relax.Var:
        """Return the first tokens of a variable of `func`."""
        if var not in firsts:
            whole = values.get(var, var)
            # Or the extent of the result would be an expression in the length.
            firsts[var] = bb.emit(relax.op.strided_slice(whole, *_FIRST, assume_inbound=True))
        return firsts[var]

    inputs, weights = parameters(func)
    with bb.function("main", attrs=dict(func.attrs)):
        with bb.dataflow():
            for binding in bindings(func):
                var, value = binding.var, binding.value
                if var in narrow:
                    firsts[var] = bb.emit(_narrowed(value, narrow[var], first, values))
                elif is_first_tokens(value) and value.args[0] in firsts:
                    values[var] = firsts[value.args[0]]
                else:
                    new = substitute(value, lambda var: values.get(var, var))
                    values[var] = bb.emit(new)
            result = bb.emit_output(substitute(func.body.body, lambda var: values.get(var, var)))
        bb.emit_func_output(result, params=[*inputs, *weights])
    return with_main(mod, bb.get()["main"])


def is_first_tokens(value: relax.Expr) -> bool:
    """Return whether a value is `x[:, :1]`."""
    if op_name(value) != "relax.strided_slice":
        return False
    _, axes, begin, end, *strides = value.args
    slices = tuple(tuple(map(dim, part.fields)) for part in (axes, begin, end, *strides))
    return slices in (_FIRST, (*_FIRST, (1,)))


def _read_for_first_tokens(func: relax.Function) -> dict[relax.Var, tuple[int, ...]]:
    """Return the variables of which first tokens are read alone.

    With each come the numbers of the operands that it takes the same tokens of.
    """
    narrow: dict[relax.Var, tuple[int, ...]] = {}
    wanted: set[relax.Var] = set()
    whole: set[relax.Var] = set(relax.analysis.free_vars(func.body.body))
    for binding in reversed(list(bindings(func))):
        var, value = binding.var, binding.value
        operands = _by_token(value, var) if var in wanted and var not in whole else None
        if operands is not None:
            narrow[var] = operands
        elif is_first_tokens(value):
            operands = (0,)
        for number, arg in enumerate(getattr(value, "args", [value])):
            into = wanted if operands is not None and number in operands else whole
            into.update(relax.analysis.free_vars(arg))
    return narrow


def _by_token(value: relax.Expr, var: relax.Var) -> tuple[int, ...] | None:
    """Return the numbers of the operands of which a value takes a token for each of its own.

    None if it takes more than one of them for a token, or there is one token only.
    """
    tokens = tensor_shape(var)[:2]
    if len(tensor_shape(var)) < 3 or tokens[1] == 1:
        return None
    name = op_name(value)
    if name in _ELEMENTWISE:
        return _whole_operands(value, tensor_shape(var))
    if name in _NORMS:
        last = [int(axis) % len(tensor_shape(var)) for axis in value.attrs.axes]
        return (0,) if min(last) > 1 else None
    if name == "relax.matmul":
        return (0,) if len(tensor_shape(value.args[1])) == 2 else None
    if name == SparseDense.op_name:
        return (0,) if SparseDense.of(value).activation == "none" else None
    if name == "relax.reshape":
        return (0,) if tensor_shape(value.args[0])[:2] == tokens else None
    if name in ATTENTION and value.attrs.causal_mask is None and value.attrs.window_size is None:
        masks = [tensor_shape(mask) for mask in value.args[3:]]
        return (0,) if all(tuple(shape[1:3]) == (1, 1) for shape in masks) else None
    return None


def _whole_operands(value: relax.Call, shape: tuple[Dim, ...]) -> tuple[int, ...] | None:
    """Return the operands that have an extent of tokens; the others are the same for all."""
    whole = []
    for number, arg in enumerate(value.args):
        own = tensor_shape(arg)
        if len(own) < len(shape) - 1 or own[1 - len(shape)] == 1:
            continue  # broadcast over the tokens
        if own[: len(own) - len(shape) + 2] != shape[:2] or not isinstance(arg, relax.Var):
            return None
        whole.append(number)
    return tuple(whole)


def _narrowed(
    value: relax.Call,
    operands: tuple[int, ...],
    first: Callable[[relax.Var], relax.Var],
    values: dict[relax.Var, relax.Expr],
) -> relax.Expr:
    args = [
        first(arg) if number in operands else substitute(arg, lambda var: values.get(var, var))
        for number, arg in enumerate(value.args)
    ]
    if op_name(value) == "relax.reshape":
        batch, _, *rest = tensor_shape(value)
        return relax.op.reshape(args[0], (batch, 1, *rest))
    return relax.Call(value.op, args, value.attrs, value.ty_args)
