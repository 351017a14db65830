"""Give weights another form: new parameters, and new code wherever they are multiplied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tvm
from tvm import relax
from tvm.relax.expr_functor import PyExprMutator, mutator

from tvm_sparse.ir.dense_layers import DenseWeight
from tvm_sparse.ir.expressions import MATMUL
from tvm_sparse.ir.functions import main_function, with_main, with_params


@dataclass(frozen=True)
class Replacement:
    """The new form of one weight, which has no readers besides matmuls.

    `params` take its place among the function's parameters. `multiply` takes the activations and
    the old matmul, and returns the expression in its place.
    """

    weight: DenseWeight
    params: Sequence[relax.Var]
    multiply: Callable[[relax.Expr, relax.Call], relax.Expr]


def replace_weights(mod: tvm.IRModule, replacements: Sequence[Replacement]) -> tvm.IRModule:
    """Return `mod` with the weights of `main` replaced, each at most once; `mod` stays as it is.

    The new parameters stand where the old ones were; bindings that nothing reads any more are gone.
    """
    if not replacements:
        return mod
    return with_main(mod, _replace_in_function(main_function(mod), replacements))


def _replace_in_function(
    func: relax.Function, replacements: Sequence[Replacement]
) -> relax.Function:
    new_params = {replacement.weight.var: replacement.params for replacement in replacements}
    params = [new for old in func.params for new in new_params.get(old, [old])]
    multiply = {var: new.multiply for new in replacements for var in new.weight.read_as}
    body = _MatmulRewriter(multiply).visit_expr(func.body)
    # The transposes of the old parameters are left over and still name them.
    return relax.analysis.remove_all_unused(with_params(func, params, body))


@mutator
class _MatmulRewriter(PyExprMutator):
    """Replace each matmul whose right-hand side is one of the given variables."""

    def __init__(
        self, multiply: dict[relax.Var, Callable[[relax.Expr, relax.Call], relax.Expr]]
    ) -> None:
        super().__init__()
        self.multiply = multiply

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        if call.op == MATMUL and call.args[1] in self.multiply:
            return self.multiply[call.args[1]](self.visit_expr(call.args[0]), call)
        return super().visit_call_(call)
