"""fast_math: polynomials in place of libm, as exact as float32 allows."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tvm
from kernel_runner import ACTIVATIONS
from relax_modules import evaluate, make_module
from scipy import special
from tolerances import ELEMENTWISE
from tvm import relax
from tvm.ir import assert_structural_equal

from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.passes import fast_math
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir

op = relax.op
OPERATORS = {
    "exp": (op.exp, np.exp),
    "erf": (op.erf, special.erf),
    "tanh": (op.tanh, np.tanh),
    "sigmoid": (op.sigmoid, special.expit),
    "gelu": (op.nn.gelu, ACTIVATIONS["gelu"]),
    "gelu_tanh": (op.nn.gelu_tanh, ACTIVATIONS["gelu_tanh"]),
    "silu": (op.nn.silu, ACTIVATIONS["silu"]),
}
#: Scalar functions of the C library that LLVM would call element by element.
LIBM = re.compile(r"@(erf|exp|tanh|pow|log)f?\(")
INTRINSICS = re.compile(r"@llvm\.(exp|pow|log|tanh)\.")


def module_of(operator, shape=(3, 401), dtype="float32") -> tvm.IRModule:
    bb = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(shape, dtype))
    with bb.function("main", [x], attrs={"num_input": 1}):
        with bb.dataflow():
            out = bb.emit_output(operator(x))
        bb.emit_func_output(out)
    return bb.get()


def source_of(mod: tvm.IRModule) -> str:
    """The LLVM code of a module."""
    target = tvm_target(resolve_target())
    built = relax.build(mod, target=target, relax_pipeline=relax.get_default_pipeline(target))
    return built.mod.imports[0].inspect_source("ll")


@pytest.mark.parametrize("name", OPERATORS)
def test_values(name):
    operator, truth = OPERATORS[name]
    x = np.concatenate([np.linspace(-9, 9, 1001), np.linspace(-60, 60, 202)])
    x = x.astype(np.float32).reshape(3, 401)
    (found,) = evaluate(fast_math.legalize()(module_of(operator)), {}, {"x": x})
    wanted = truth(x.astype(np.float64))
    # GELU and SiLU multiply the curve's error by x.
    reach = 60 if name in ("gelu", "gelu_tanh", "silu") else 1
    np.testing.assert_allclose(
        found, wanted, rtol=4 * ELEMENTWISE["rtol"], atol=reach * ELEMENTWISE["atol"]
    )


def test_nan_stays_nan():
    """Through every operator: bounds must not make a number of it."""
    x = np.array([[np.nan, 0.0, 1.0], [0.0, 1.0, 2.0]], np.float32)

    def everything(emit, x):
        return relax.Tuple([*(emit(f(x)) for f, _ in OPERATORS.values()), op.nn.softmax(x, -1)])

    mod = make_module({"x": x.shape}, {}, everything)
    *found, softmax = evaluate(fast_math.legalize()(mod), {}, {"x": x})
    for name, values in zip(OPERATORS, found, strict=True):
        np.testing.assert_array_equal(np.isnan(values), np.isnan(x), err_msg=name)
    np.testing.assert_array_equal(np.isnan(softmax), [[True] * 3, [False] * 3])


@pytest.mark.parametrize("axis", [-1, 1])
def test_softmax(axis):
    x = 30 * np.random.default_rng(0).standard_normal((2, 5, 7), dtype=np.float32)
    mod = module_of(lambda x: op.nn.softmax(x, axis=axis), (2, 5, 7))
    (found,) = evaluate(fast_math.legalize()(mod), {}, {"x": x})
    np.testing.assert_allclose(found, special.softmax(x.astype("f8"), axis=axis), **ELEMENTWISE)


def test_no_call_into_libm_is_left():
    def everything(emit, x):
        for operator, _ in OPERATORS.values():
            x = emit(operator(x))
        return op.nn.softmax(x, axis=-1)

    mod = make_module({"x": (4, 33)}, {}, everything)
    left_alone, legalised = source_of(mod), source_of(fast_math.legalize()(mod))
    assert LIBM.search(left_alone), "the pattern finds what it looks for"
    assert not LIBM.search(legalised)
    assert not INTRINSICS.search(legalised)


@pytest.mark.parametrize("name", ["exp", "sigmoid", "softmax"])
def test_other_dtypes_are_legalised_as_by_tvm(name):
    operator = OPERATORS[name][0] if name in OPERATORS else op.nn.softmax
    mod = module_of(operator, (3, 5), "float64")
    assert_structural_equal(fast_math.legalize()(mod), relax.transform.LegalizeOps()(mod))


def test_the_module_given_is_not_changed():
    mod = module_of(op.exp)
    text = mod.script()
    fast_math.legalize()(mod)
    assert mod.script() == text
