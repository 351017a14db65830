"""Give a module the results of its layer norms as further outputs, to locate a fault."""

from __future__ import annotations

from collections import Counter

import tvm
from tvm import relax

from tvm_sparse.passes.dense_chains import bindings, op_name
from tvm_sparse.passes.dense_layers import main_function
from tvm_sparse.passes.substitute import substitute


def expose_layer_norms(mod: tvm.IRModule) -> tuple[tvm.IRModule, list[str]]:
    """Return a copy of an imported module that also returns every layer norm.

    Parameters
    ----------
    mod : IRModule
        As imported; not changed.

    Returns
    -------
    mod : IRModule
        `main` returns its outputs, then the layer norms.
    names : list of str
        Their layers, in order; `#2` and so on behind the second use of a shared layer.
    """
    func = main_function(mod)
    norms, names = [], []
    calls: Counter[str] = Counter()
    outputs: relax.Expr = func.body.body
    for binding in bindings(func):
        if binding.var.same_as(outputs):
            outputs = binding.value
        if op_name(binding.value) == "relax.nn.layer_norm":
            name = binding.value.args[1].name.rpartition("/")[0]
            calls[name] += 1
            names.append(name if calls[name] == 1 else f"{name}#{calls[name]}")
            norms.append(binding.var)
    value_of = {binding.var: binding.value for binding in bindings(func)}
    while isinstance(outputs, relax.Var):
        outputs = value_of[outputs]
    bb = relax.BlockBuilder()
    with bb.function("main", func.params, attrs=dict(func.attrs)):
        with bb.dataflow():
            fresh: dict[relax.Var, relax.Expr] = {}
            for binding in bindings(func):
                fresh[binding.var] = bb.emit(substitute(binding.value, fresh))
            fields = [*outputs.fields, *norms]
            result = bb.emit_output(relax.Tuple([substitute(field, fresh) for field in fields]))
        bb.emit_func_output(result)
    return bb.get(), names
