"""Concatenate weights at compile time where a model would do it at every inference.

MobileBERT's language-model head multiplies with its embedding table and a further weight side by
side; joined here, they are one weight like any other to the passes that follow.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tvm
from tvm import relax
from tvm.relax.expr_functor import PyExprMutator, mutator

from tvm_sparse.ir.expressions import PERMUTE_DIMS, op_name, permutation
from tvm_sparse.ir.functions import (
    bindings,
    main_function,
    places_of,
    with_main,
    with_params,
    with_places,
    with_read_params,
)
from tvm_sparse.passes.packed_weights import join_names


def convert(
    mod: tvm.IRModule, params: Mapping[str, np.ndarray]
) -> tuple[tvm.IRModule, dict[str, np.ndarray]]:
    """Replace each `concat` of weights, transposed or not, by one weight.

    The joined weights are the last parameters of `main`; each is named `{first,second}` after its
    parts, and stands in the first's place in the network. Parts that nobody reads any more are
    gone. Neither `mod`, as imported, nor `params` is changed.

    Raises
    ------
    PassError
        If the module has no function `main`.
    """
    func = main_function(mod)
    values: dict[relax.Var, tuple[str, np.ndarray]] = {
        var: (var.name, params[var.name]) for var in func.params if var.name in params
    }
    joined: dict[relax.Call, relax.Var] = {}
    new_params, places = dict(params), places_of(func)
    for binding in bindings(func):
        value = binding.value
        if isinstance(value, relax.Call) and value.op == PERMUTE_DIMS and value.args[0] in values:
            name, array = values[value.args[0]]
            values[binding.var] = (name, array.transpose(permutation(value)))
        elif op_name(value) == "relax.concat" and isinstance(value.args[0], relax.Tuple):
            parts = [values.get(field) for field in value.args[0].fields]
            if any(part is None for part in parts):
                continue
            names, arrays = zip(*(part for part in parts if part), strict=True)
            name = join_names(names)
            while name in new_params:  # the same parts joined in another way
                name += "'"
            new_params[name] = np.concatenate(arrays, axis=int(value.attrs.axis or 0))
            if names[0] in places:
                places[name] = places[names[0]]
            joined[value] = relax.Var(name, value.ty)
    if not joined:
        return mod, new_params
    body = _UseJoined(joined).visit_expr(func.body)
    whole = relax.analysis.remove_all_unused(
        with_params(func, [*func.params, *joined.values()], body)
    )
    main = with_read_params(whole, new_params)
    names_kept = {var.name for var in main.params}
    return (
        with_main(mod, with_places(main, places) if places else main),
        {name: value for name, value in new_params.items() if name in names_kept},
    )


@mutator
class _UseJoined(PyExprMutator):
    """Put the joined weight where it was computed."""

    def __init__(self, joined: dict[relax.Call, relax.Var]) -> None:
        super().__init__()
        self.joined = joined

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        return self.joined[call] if call in self.joined else super().visit_call_(call)
