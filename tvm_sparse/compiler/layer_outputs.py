"""Give a module the results of its layer norms as further outputs, to locate a fault."""

from __future__ import annotations

from collections import Counter

import tvm

from tvm_sparse.ir.expressions import op_name
from tvm_sparse.ir.functions import bindings, main_function, results, returning, with_main


def expose_layer_norms(mod: tvm.IRModule) -> tuple[tvm.IRModule, list[str]]:
    """Return a copy of an imported module that returns every layer norm after its outputs.

    With the names of their layers, in order; `#2` and so on behind the second use of a shared one.
    """
    func = main_function(mod)
    norms, names = [], []
    calls: Counter[str] = Counter()
    for binding in bindings(func):
        if op_name(binding.value) == "relax.nn.layer_norm":
            name = binding.value.args[1].name.rpartition("/")[0]
            calls[name] += 1
            names.append(name if calls[name] == 1 else f"{name}#{calls[name]}")
            norms.append(binding.var)
    return with_main(mod, returning(func, [*results(func), *norms])), names
