"""Which kernel call works for which layer, read off the weights it takes."""

from __future__ import annotations

import os
from dataclasses import dataclass

import tvm
from tvm import relax

from tvm_sparse.ir.expressions import op_name
from tvm_sparse.ir.functions import bindings, parameters
from tvm_sparse.passes.packed_weights import base_name


@dataclass(frozen=True)
class LayerCall:
    """One kernel call.

    Attributes
    ----------
    kernel : str
        Name of the PrimFunc.
    layer : str
        Path of the layer whose weights it reads (`bert/encoder/layer_._0/output/dense`). A kernel
        without weights is named after its kernel and the layer its data came from.
    """

    kernel: str
    layer: str


def layer_calls(mod: tvm.IRModule) -> list[LayerCall]:
    """Return the kernel calls of `main` in order.

    Parameters
    ----------
    mod : IRModule
        After FuseTIR, weights still parameters.
    """
    func = mod["main"]
    weights = set(parameters(func)[1])
    layer_of: dict[relax.Var, str] = {}
    calls = []
    for binding in bindings(func):
        value = binding.value
        if not isinstance(value, relax.Call):
            continue
        args = list(value.args[1].fields) if op_name(value) == "relax.call_tir" else value.args
        variables = [arg for arg in args if isinstance(arg, relax.Var)]
        names = [base_name(arg.name) for arg in variables if arg in weights]
        source = next((layer_of[arg] for arg in variables if arg in layer_of), "")
        if op_name(value) != "relax.call_tir":
            layer_of[binding.var] = source
            continue
        kernel = value.args[0].name_hint
        if names:
            layer = _common_path(names)
            layer_of[binding.var] = layer
        else:
            layer = os.path.join(os.path.dirname(source), kernel)
            layer_of[binding.var] = source
        calls.append(LayerCall(kernel, layer))
    return calls


def _common_path(names: list[str]) -> str:
    """Return the layer that owns the weights: their path without `kernel`, `bias`, `gamma`."""
    parents = [name.rpartition("/")[0] or name for name in names]
    return os.path.commonpath(parents) or parents[0]
