"""Compute at compile time what a model would compute of its weights at every inference.

Disentangled attention projects a table of relative positions in each layer, with the weights of its
queries and keys: as many operations as half of all dense layers have on a short text. PyTorch's
`MultiheadAttention` cuts the weights of queries, keys and values out of one, and a part that is a
parameter runs on token tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.ir.dims import dim
from tvm_sparse.ir.expressions import (
    ints,
    op_name,
    permutation,
    static_shape,
    substitute,
    tensor_shape,
)
from tvm_sparse.ir.functions import (
    Uses,
    bindings,
    main_function,
    with_main,
    with_params,
    with_read_params,
)

#: Suffix of a parameter that holds what was computed from the one of that name, and others.
FOLDED = "folded"

Array = np.ndarray[Any, Any]


def convert(
    mod: tvm.IRModule, params: Mapping[str, Array]
) -> tuple[tvm.IRModule, dict[str, Array]]:
    """Replace products of weights alone, and parts of weights, by parameters, the last of `main`.

    Each is named after the weight that was multiplied last, or cut. Weights that nobody reads any
    more are gone. Neither `mod`, as imported, nor `params` is changed.

    Raises
    ------
    PassError
        If the module has no function `main`.
    """
    func, given = main_function(mod), dict(params)
    weights = {var: var.name for var in func.params if var.name in params}
    folding = _Folding(params)
    uses = Uses(func)
    multiplied: dict[relax.Var, str] = {}
    for binding in bindings(func):
        value = binding.value
        sources = relax.analysis.free_vars(value)
        if not folding.take(binding.var, value) or not sources:
            continue
        products = [multiplied[var] for var in sources if var in multiplied]
        if op_name(value) == "relax.matmul":
            products = [f"{_weight_of(value.args[1], uses, weights)}.{FOLDED}"]
        elif _is_part(binding.var, uses):
            # A name of its own: parts of one weight are different ones.
            begin = dim(value.args[2].fields[0])
            products = [f"{_weight_of(binding.var, uses, weights)}/from{begin}"]
        if products:
            multiplied[binding.var] = products[-1]
    # What somebody reads who cannot be computed now.
    wanted = [
        var for var in multiplied if any(reader not in multiplied for reader in uses.readers(var))
    ]
    if not wanted:
        return mod, given
    folded: dict[relax.Var, relax.Var] = {}
    for var in wanted:
        name = multiplied[var]
        while name in given:
            name += "'"
        given[name] = np.ascontiguousarray(folding.value(var))
        folded[var] = relax.Var(name, var.ty)
    kept = [
        relax.VarBinding(b.var, substitute(b.value, lambda var: folded.get(var, var)))
        for b in bindings(func)
        if b.var not in multiplied
    ]
    block = relax.DataflowBlock(kept)
    body = relax.SeqExpr([block], func.body.body)
    whole = with_params(func, [*func.params, *folded.values()], body)
    main = with_read_params(relax.analysis.remove_all_unused(whole), given)
    names = {var.name for var in main.params}
    return with_main(mod, main), {name: value for name, value in given.items() if name in names}


def _is_part(var: relax.Var, uses: Uses) -> bool:
    """Whether a slice of known values is a bias, or turned for a product."""
    if op_name(uses.value[var]) != "relax.strided_slice":
        return False
    turned = [op_name(uses.value[reader]) == "relax.permute_dims" for reader in uses.readers(var)]
    return len(tensor_shape(var)) == 1 or (bool(turned) and all(turned))


def _weight_of(expr: relax.Expr, uses: Uses, weights: Mapping[relax.Var, str]) -> str:
    """Return the name of the weight behind an operand, however it was moved."""
    while expr not in weights:
        call = uses.value[expr]
        expr = next(arg for arg in call.args if isinstance(arg, relax.Var))
    return weights[expr]


class _Folding:
    """What can be computed from weights and constants; computed when it is asked for."""

    def __init__(self, params: Mapping[str, Array]) -> None:
        self._params = params
        self._calls: dict[relax.Var, relax.Call] = {}
        self._values: dict[relax.Var, Array] = {}

    def take(self, var: relax.Var, value: relax.Expr) -> bool:
        """Note how a variable is computed, if it can be; say whether."""
        if not isinstance(value, relax.Call) or op_name(value) not in _COMPUTE:
            return False
        if not all(self._is_known(arg) for arg in value.args):
            return False
        if not all(isinstance(extent, int) for extent in tensor_shape(value)):
            return False  # the run decides how often a weight is repeated
        self._calls[var] = value
        return True

    def value(self, expr: relax.Expr) -> Array:
        """Return the value of a known expression."""
        if isinstance(expr, tvm.ir.GenericConst):
            return expr.value.numpy()
        if expr in self._calls and expr not in self._values:
            call = self._calls[expr]
            operands = [self.value(arg) for arg in call.args if _is_tensor(arg)]
            self._values[expr] = _COMPUTE[op_name(call)](call, *operands)
        return self._values[expr] if expr in self._values else self._params[expr.name]

    def _is_known(self, arg: relax.Expr) -> bool:
        if isinstance(arg, relax.Var):
            return arg in self._calls or arg.name in self._params
        return not isinstance(arg, relax.Tuple) or not relax.analysis.free_vars(arg)


def _is_tensor(arg: relax.Expr) -> bool:
    return isinstance(getattr(arg, "ty", None), relax.TensorType)


def _layer_norm(call: relax.Call, x: Array, gamma: Array, beta: Array) -> Array:
    axes = tuple(ints(call.attrs.axes))
    centred = x - x.mean(axes, keepdims=True, dtype=np.float64)
    deviation = np.sqrt((centred**2).mean(axes, keepdims=True) + float(call.attrs.epsilon))
    return (centred / deviation * gamma + beta).astype(np.float32)


def _slice(call: relax.Call, x: Array) -> Array:
    axes, begin, end, *strides = ([int(dim(part)) for part in arg.fields] for arg in call.args[1:])
    cut = [slice(None)] * x.ndim
    for place, axis in enumerate(axes):
        cut[axis] = slice(begin[place], end[place], strides[0][place] if strides else 1)
    return x[tuple(cut)]


_COMPUTE: dict[str, Callable[..., Array]] = {
    "relax.add": lambda _, a, b: a + b,
    "relax.subtract": lambda _, a, b: a - b,
    "relax.multiply": lambda _, a, b: a * b,
    "relax.divide": lambda _, a, b: a / b,
    "relax.matmul": lambda _, a, b: a @ b,
    "relax.nn.layer_norm": _layer_norm,
    "relax.permute_dims": lambda call, x: x.transpose(permutation(call)),
    "relax.reshape": lambda call, x, *_: x.reshape(static_shape(call)),
    "relax.broadcast_to": lambda call, x, *_: np.broadcast_to(x, static_shape(call)),
    "relax.tile": lambda call, x: np.tile(x, ints(call.attrs.repeats)),
    "relax.strided_slice": _slice,
}
