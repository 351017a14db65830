"""Run a batch as micro-batches, one after the other through the whole model.

Activations of many sequences do not fit the caches: every kernel would read from memory what the
one before it wrote there. The imported function takes one micro-batch; its attribute
`micro_batches` says how many of them make up the batch. What does not depend on the inputs is
computed once.
"""

from __future__ import annotations

import tvm
from tvm import relax

from tvm_sparse.passes.dense_chains import bindings
from tvm_sparse.passes.dense_layers import main_function, micro_batches, static_shape
from tvm_sparse.passes.substitute import substitute


def convert(mod: tvm.IRModule) -> tvm.IRModule:
    """Give `main` the whole batch.

    Parameters
    ----------
    mod : IRModule
        `main` takes and returns tensors of one micro-batch, along their first axes; not changed.

    Returns
    -------
    IRModule
        `main` takes and returns tensors of `micro_batches` times that extent.

    Raises
    ------
    PassError
        If the module has no function `main` or a shape is not static.
    """
    func = main_function(mod)
    count = micro_batches(func)
    if count == 1:
        return mod
    num_inputs = int(func.attrs["num_input"])
    inputs, weights = func.params[:num_inputs], func.params[num_inputs:]
    whole = [_times(var, count) for var in inputs]
    depends = _depend_on(func, set(inputs))
    bb = relax.BlockBuilder()
    with bb.function("main", attrs={"num_input": num_inputs}):
        with bb.dataflow():
            shared: dict[relax.Var, relax.Expr] = {}
            parts: list[list[relax.Expr]] = []
            for index in range(count):
                values = dict(shared)
                for var, batch in zip(inputs, whole, strict=True):
                    extent = static_shape(var)[0]
                    start, stop = index * extent, (index + 1) * extent
                    values[var] = bb.emit(relax.op.strided_slice(batch, [0], [start], [stop]))
                for binding in bindings(func):
                    if binding.var not in values:
                        values[binding.var] = bb.emit(substitute(binding.value, values))
                        if binding.var not in depends:
                            shared[binding.var] = values[binding.var]
                parts.append(_fields(func.body.body, func, values))
            joined = [bb.emit(relax.op.concat(list(part), 0)) for part in zip(*parts, strict=True)]
            result = bb.emit_output(relax.Tuple(joined))
        bb.emit_func_output(result, params=[*whole, *weights])
    functions = {gv: f for gv, f in mod.functions_items() if gv.name_hint != "main"}
    functions[mod.get_global_var("main")] = bb.get()["main"]
    return tvm.IRModule(functions, attrs=mod.attrs)


def _times(var: relax.Var, count: int) -> relax.Var:
    first, *rest = static_shape(var)
    return relax.Var(var.name, relax.TensorType((first * count, *rest), var.ty.dtype))


def _depend_on(func: relax.Function, inputs: set[relax.Var]) -> set[relax.Var]:
    depends = set(inputs)
    for binding in bindings(func):
        if any(var in depends for var in relax.analysis.free_vars(binding.value)):
            depends.add(binding.var)
    return depends


def _fields(
    expr: relax.Expr, func: relax.Function, values: dict[relax.Var, relax.Expr]
) -> list[relax.Expr]:
    """Return what a function's result, a tuple or a variable that holds one, consists of."""
    value_of = {binding.var: binding.value for binding in bindings(func)}
    while isinstance(expr, relax.Var):
        expr = value_of[expr]
    return [substitute(field, values) for field in expr.fields]
