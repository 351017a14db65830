"""Move outliers of what layers multiply into their weights, before these are rounded to 8 bits.

`matmul(x, permute_dims(w))` becomes `matmul(x * f, permute_dims(w / f))`: the same numbers, with
features of more even ranges. Layers of one input read one `x * f`. It is not folded into the layer
norm before: in most encoders the residual reads that as well, and what rounds the tokens anew at
every inference multiplies them anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax
from tvm.relax.expr_functor import PyExprMutator, mutator

from tvm_sparse.ir.dense_layers import find_dense_weights
from tvm_sparse.ir.expressions import MATMUL
from tvm_sparse.ir.functions import main_function, with_main, with_params

#: What the parameters are called behind the name of a weight.
SUFFIX = "smoothing"


def convert(
    mod: tvm.IRModule, params: Mapping[str, np.ndarray], factors: Mapping[str, NDArray[Any]]
) -> tuple[tvm.IRModule, dict[str, np.ndarray]]:
    """Multiply the inputs of layers by factors, and divide their weights.

    Takes what `simplify_fc_transpose` left, and changes neither `mod` nor `params`.

    Parameters
    ----------
    mod, params
        The module and its weights by name.
    factors : mapping of str to numpy.ndarray
        Float32 (K,) by canonical name of the layer; layers of one input share one array.

    Raises
    ------
    PassError
        If the module has no function `main` or a shape is not static.
    """
    func = main_function(mod)
    smoothed = {
        name: factors[name.removesuffix(".T")]
        for name, weight in find_dense_weights(func, params.keys()).items()
        if name.removesuffix(".T") in factors and not weight.obstacle and weight.transposed
    }
    if not smoothed:
        return mod, dict(params)
    new_params = dict(params)
    variables: dict[int, relax.Var] = {}
    for name, factor in smoothed.items():
        new_params[name] = np.asarray(params[name] / factor, np.float32)
        if id(factor) not in variables:
            var = relax.Var(f"{name}.{SUFFIX}", relax.TensorType(factor.shape, "float32"))
            variables[id(factor)], new_params[var.name] = var, factor
    reads = {
        var: variables[id(smoothed[name])]
        for name, weight in find_dense_weights(func, smoothed).items()
        for var in weight.read_as
    }
    body = _Multiply(reads).visit_expr(func.body)
    params_of = [*func.params, *variables.values()]
    return with_main(mod, with_params(func, params_of, body)), new_params


@mutator
class _Multiply(PyExprMutator):
    """Multiply what meets a weight, once for all weights of one factor."""

    def __init__(self, factors: dict[relax.Var, relax.Var]) -> None:
        super().__init__()
        self.factors = factors
        self.products: dict[tuple[relax.Expr, relax.Var], relax.Var] = {}

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        if call.op != MATMUL or call.args[1] not in self.factors:
            return super().visit_call_(call)
        data, factor = self.visit_expr(call.args[0]), self.factors[call.args[1]]
        if (data, factor) not in self.products:
            product = self.builder_.emit(relax.op.multiply(data, factor))
            self.products[data, factor] = product
        weight = self.visit_expr(call.args[1])
        return relax.op.matmul(self.products[data, factor], weight, out_dtype=call.attrs.out_dtype)
