"""A build is compared with what TensorFlow computed; a fault is traced to its layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tvm
from tvm import relax

from tvm_sparse.compiler.compile import compile_model
from tvm_sparse.compiler.layer_outputs import expose_layer_norms
from tvm_sparse.compiler.reference_check import (
    check_against_reference,
    first_differing_layer,
)
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.errors import CheckError
from tvm_sparse.model.model import Reference

pytestmark = pytest.mark.ir

SPEC = CompileSpec("x86-64-v2")
FEATURES = 16


def module() -> tvm.IRModule:
    """Three layer norms; the third is the first one's weights again."""
    names = ["first/gamma", "first/beta", "second/gamma", "second/beta"]
    x = relax.Var("x", relax.TensorType((1, 4, FEATURES), "float32"))
    weights = [relax.Var(name, relax.TensorType((FEATURES,), "float32")) for name in names]
    bb = relax.BlockBuilder()
    with bb.function("main", [x, *weights], attrs={"num_input": 1}):
        with bb.dataflow():
            value = x
            for gamma, beta in (weights[:2], weights[2:], weights[:2]):
                value = bb.emit(relax.op.nn.layer_norm(value, gamma, beta, axes=[-1]))
                value = bb.emit(relax.op.nn.relu(value))
            out = bb.emit_output(relax.Tuple([value]))
        bb.emit_func_output(out)
    return bb.get()


def reference() -> Reference:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 4, FEATURES)).astype(np.float32)
    params = {
        f"{layer}/{name}": rng.standard_normal(FEATURES).astype(np.float32)
        for layer in ("first", "second")
        for name in ("gamma", "beta")
    }
    value, layers = x, {}
    for name, layer in (("first", "first"), ("second", "second"), ("first#2", "first")):
        centred = value - value.mean(-1, keepdims=True)
        norm = centred / np.sqrt(value.var(-1, keepdims=True) + 1e-5)
        layers[name] = norm * params[f"{layer}/gamma"] + params[f"{layer}/beta"]
        value = np.maximum(layers[name], 0)
    return Reference(params, {"x": x}, {"out": value}, layers)


def test_a_right_build_passes_and_has_no_differing_layer() -> None:
    wanted = reference()
    build = compile_model(module(), wanted.params, SPEC)
    assert check_against_reference(build, wanted, 2, 1e-4, 1e-4)["out"] < 1e-4
    assert first_differing_layer(module(), wanted, SPEC, 1e-4, 1e-4) is None


@pytest.mark.parametrize("layer", ["first", "second", "first#2"])
def test_the_first_differing_layer_is_named(layer: str) -> None:
    wanted = reference()
    names = list(wanted.layer_outputs)
    wrong = {
        name: value + (0.1 if names.index(name) >= names.index(layer) else 0)
        for name, value in wanted.layer_outputs.items()
    }
    faulty = replace(wanted, outputs={"out": wanted.outputs["out"] + 0.1}, layer_outputs=wrong)
    build = compile_model(module(), wanted.params, SPEC)
    with pytest.raises(CheckError, match="differs from TensorFlow in out"):
        check_against_reference(build, faulty, 2, 1e-4, 1e-4)
    assert first_differing_layer(module(), faulty, SPEC, 1e-4, 1e-4) == layer


def test_exposing_keeps_the_outputs_and_the_module() -> None:
    before = module()
    exposed, names = expose_layer_norms(before)
    assert names == ["first", "second", "first#2"]
    assert len(exposed["main"].ret_ty.fields) == 4
    tvm.ir.assert_structural_equal(before, module())
