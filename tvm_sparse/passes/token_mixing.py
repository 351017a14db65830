"""Find what keeps sequences of different lengths from sharing a run.

Kernels on token tiles know how long each sequence is. What stays row-major computes on a rectangle
with padding behind the shorter ones; as long as it works token by token, nobody reads what it makes
of the padding.
"""

from __future__ import annotations

from collections.abc import Callable

import tvm
from tvm import relax

from tvm_sparse.ir.dims import BATCH, SEQ_LEN, Dim, product
from tvm_sparse.ir.expressions import ints, op_name, tensor_shape
from tvm_sparse.ir.functions import bindings

_ELEMENTWISE = {
    *("abs", "add", "astype", "clip", "cos", "divide", "equal", "erf", "exp", "floor", "greater"),
    *("less", "log", "logical_and", "logical_not", "maximum", "minimum", "multiply", "negative"),
    *("nn.gelu", "nn.gelu_tanh", "nn.relu", "nn.silu", "power", "rsqrt", "sigmoid", "sin", "sqrt"),
    *("square", "subtract", "tanh", "where", "broadcast_to", "permute_dims", "expand_dims"),
}
_REDUCTIONS = {"sum", "mean", "max", "min", "prod", "argmax", "argmin", "variance", "std"}


def mixing_operator(func: relax.Function) -> str:
    """Return the name of the first operator that computes across tokens of rows; empty if none.

    `func` is a tiled function of an open model. Integers, such as positions counted from a mask,
    are not looked at.
    """
    for binding in bindings(func):
        name = op_name(binding.value).removeprefix("relax.")
        if not name or name.startswith("tvm_sparse."):
            continue
        operands = [arg for arg in _tensors(binding.value) if _holds_tokens(arg)]
        if operands and not _by_token(name, binding.value, binding.var):
            return name
    return ""


def _tensors(call: relax.Call) -> list[relax.Expr]:
    fields = [part for arg in call.args for part in getattr(arg, "fields", [arg])]
    return [part for part in fields if isinstance(getattr(part, "ty", None), relax.TensorType)]


def _holds_tokens(expr: relax.Expr) -> bool:
    return str(expr.ty.dtype).startswith("float") and any(map(_is_open, tensor_shape(expr)))


def _is_open(extent: Dim) -> bool:
    """Return whether an axis has to do with the tokens of sequences."""
    if isinstance(extent, int):
        return False
    return any(var.same_as(SEQ_LEN) for var in tvm.tirx.analysis.undefined_vars(extent))


def _by_token(name: str, call: relax.Call, result: relax.Var) -> bool:
    """Return whether an operator on rows of tokens computes each token by itself."""
    if name in _ELEMENTWISE:
        return True
    data = call.args[0]
    if name == "reshape":
        # Tokens stay an axis, or are one together with the batch.
        whole = (SEQ_LEN, product((BATCH, SEQ_LEN)))
        return all(extent in whole for extent in tensor_shape(result) if _is_open(extent))
    if name == "matmul":
        return not _is_open(tensor_shape(data)[-1])
    along = _ALONG.get(name)
    if along is None:
        return False
    shape = tensor_shape(data)
    return not any(_is_open(shape[axis % len(shape)]) for axis in along(call, len(shape)))


def _reduced(call: relax.Call, rank: int) -> list[int]:
    axis = call.attrs.axis
    if axis is None:
        return list(range(rank))
    return ints(axis) if hasattr(axis, "__iter__") else [int(axis)]


def _one_axis(call: relax.Call, _rank: int) -> list[int]:
    return [int(call.attrs.axis)]


#: Axes along which an operator takes values together.
_ALONG: dict[str, Callable[[relax.Call, int], list[int]]] = {
    **dict.fromkeys(_REDUCTIONS, _reduced),
    "nn.softmax": _one_axis,
    "nn.log_softmax": _one_axis,
    "nn.layer_norm": lambda call, _rank: ints(call.attrs.axes),
    "squeeze": lambda _call, _rank: [],
    "strided_slice": lambda call, _rank: [int(axis) for axis in call.args[1].fields],
    "split": _one_axis,
}
