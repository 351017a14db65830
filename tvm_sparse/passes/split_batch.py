"""Run a batch as micro-batches, one after the other through the whole model.

Activations of many sequences do not fit the caches: every kernel would read from memory what the
one before it wrote there. The imported function takes one micro-batch; its attribute
`micro_batches` says how many of them make up the batch. What does not depend on the inputs is
computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tvm
from tvm import relax

from tvm_sparse.ir.expressions import static_shape, substitute
from tvm_sparse.ir.functions import (
    bindings,
    main_function,
    micro_batches,
    parameters,
    results,
    with_main,
)


def convert(mod: tvm.IRModule) -> tvm.IRModule:
    """Give `main`, which takes tensors of one micro-batch along their first axes, the whole batch.

    It takes and returns tensors of `micro_batches` times that extent; `mod` is not changed.

    Raises
    ------
    PassError
        If the module has no function `main` or a shape is not static.
    """
    func = main_function(mod)
    count = micro_batches(func)
    if count == 1:
        return mod
    inputs, weights = parameters(func)
    whole = [_times(var, count) for var in inputs]
    depends = _depend_on(func, set(inputs))
    bb = relax.BlockBuilder()
    attrs = {key: value for key, value in func.attrs.items() if key != "micro_batches"}
    with bb.function("main", attrs=attrs):
        with bb.dataflow():
            shared: dict[relax.Var, relax.Expr] = {}
            parts: list[list[relax.Expr]] = []
            for index in range(count):
                values = dict(shared)
                read = _reader(values)
                for var, batch in zip(inputs, whole, strict=True):
                    extent = static_shape(var)[0]
                    start, stop = index * extent, (index + 1) * extent
                    values[var] = bb.emit(relax.op.strided_slice(batch, [0], [start], [stop]))
                for binding in bindings(func):
                    if binding.var not in values:
                        values[binding.var] = bb.emit(substitute(binding.value, read))
                        if binding.var not in depends:
                            shared[binding.var] = values[binding.var]
                parts.append([substitute(field, read) for field in results(func)])
            joined = [bb.emit(relax.op.concat(list(part), 0)) for part in zip(*parts, strict=True)]
            result = bb.emit_output(relax.Tuple(joined))
        bb.emit_func_output(result, params=[*whole, *weights])
    return with_main(mod, bb.get()["main"])


def _times(var: relax.Var, count: int) -> relax.Var:
    first, *rest = static_shape(var)
    return relax.Var(var.name, relax.TensorType((first * count, *rest), var.ty.dtype))


def _reader(values: Mapping[relax.Var, relax.Expr]) -> Callable[[relax.Var], relax.Expr]:
    return lambda var: values.get(var, var)


def _depend_on(func: relax.Function, inputs: set[relax.Var]) -> set[relax.Var]:
    depends = set(inputs)
    for binding in bindings(func):
        if any(var in depends for var in relax.analysis.free_vars(binding.value)):
            depends.add(binding.var)
    return depends
