"""Which kernel call works for which layer, read off the kernels and the weights they take."""

from __future__ import annotations

import os
from dataclasses import replace

import tvm
from tvm import relax
from tvm.s_tir import Schedule

from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.ir.functions import bindings, parameters
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.description import described
from tvm_sparse.ops.product import activates_in
from tvm_sparse.passes.packed_weights import base_name, stacked_in
from tvm_sparse.runtime.metadata import KernelCall


def layer_calls(mod: tvm.IRModule) -> list[KernelCall]:
    """Return the kernel calls of `main` in order, after FuseTIR, weights still parameters."""
    func = mod["main"]
    weights = set(parameters(func)[1])
    # Which weights a variable holds, in whatever form.
    held = {var: stacked_in(func, var.name) for var in weights}
    layer_of: dict[relax.Var, str] = {}
    facts_of: dict[str, KernelFacts] = {}
    calls: list[KernelCall] = []
    for binding in bindings(func):
        value = binding.value
        if not isinstance(value, relax.Call):
            continue
        is_kernel = op_name(value) == "relax.call_tir"
        args = value.args[1].fields if is_kernel else value.args
        variables = [arg for arg in args if isinstance(arg, relax.Var)]
        if variables and all(arg in held for arg in variables):
            held[binding.var] = tuple(name for arg in variables for name in held[arg])
        source = next((layer_of[arg] for arg in variables if arg in layer_of), "")
        if not is_kernel:
            layer_of[binding.var] = source
            continue
        kernel = value.args[0].name_hint
        if kernel not in facts_of:
            facts_of[kernel] = _facts(mod[value.args[0]])
        names = [base_name(arg.name) for arg in variables if arg in weights]
        if names:
            layer = layer_of[binding.var] = _common_path(names)
        else:
            layer = os.path.join(os.path.dirname(source), kernel)
            layer_of[binding.var] = source
        facts = _of_call(facts_of[kernel], value)
        # A product's operands begin with data and weight, those of TVM's too.
        weight = variables[1] if facts.part == "products" and len(variables) > 1 else None
        members = held.get(weight, ())
        calls.append(KernelCall(len(calls), kernel, layer, members, facts))
    return calls


def _facts(kernel: tvm.tirx.PrimFunc) -> KernelFacts:
    """Return what a kernel says of itself, or what is seen of one that TVM generated."""
    facts = described(kernel)
    if facts is not None:
        return facts
    if kernel.body.block.name_hint != "root":
        return KernelFacts("other")
    schedule = Schedule(tvm.IRModule({"main": kernel}))
    children = schedule.get_child_blocks(schedule.get_sblock("root"))
    blocks = {schedule.get(block).name_hint for block in children}
    # Whatever was fused to it; the second is left of one whose sums are kept in registers.
    return KernelFacts("tvm_matmul" if blocks & {"matmul", "matmul_update"} else "other")


def _of_call(facts: KernelFacts, call: relax.Call) -> KernelFacts:
    """Return what a kernel computes in a call, of one that serves several products."""
    if facts.part != "products" or facts.units or facts.kind == "tvm_matmul":
        return facts
    units, depth = (int(tensor_shape(tiled)[1]) for tiled in (call, call.args[1].fields[0]))
    facts = replace(facts, units=units, depth=depth)
    if activates_in(call.args[1].fields) is False:
        facts = replace(facts, epilogue=replace(facts.epilogue, activation="none"))
    return facts


def _common_path(names: list[str]) -> str:
    """Return the layer that owns the weights: their path without `kernel`, `bias`, `gamma`."""
    parents = [name.rpartition("/")[0] or name for name in names]
    return os.path.commonpath(parents) or parents[0]
