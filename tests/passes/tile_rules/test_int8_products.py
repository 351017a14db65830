"""Products of integers: what is quantised, once, and what goes along with that."""

from __future__ import annotations

import numpy as np
import pytest
from relax_modules import make_module, random_values, run_executable
from tvm import relax

from tvm_sparse.compiler.compile import compile_model
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.formats.builds import INT8
from tvm_sparse.host import detect_host

pytestmark = [
    pytest.mark.ir,
    pytest.mark.skipif(detect_host().isa == "aarch64", reason="no products of integers there"),
]

_TOKENS, _DEPTH, _UNITS = 33, 24, 20


def multiplied(factors: bool, depth: int = _DEPTH):
    """Two layers of the same data, or of the data times factors; and what they compute."""
    weights = {"a/w": (depth, _UNITS), "b/w": (depth, _UNITS), "factors": (depth,)}

    def body(emit, x, first, second, factor):
        op = relax.op
        data = emit(op.multiply(emit(op.nn.relu(x)), factor)) if factors else x
        products = [emit(op.matmul(data, weight)) for weight in (first, second)]
        return relax.Tuple([emit(op.add(emit(op.tanh(products[0])), products[1]))])

    mod = make_module({"x": (1, _TOKENS, depth)}, weights, body)
    inputs, params = random_values(mod)
    x = np.maximum(inputs["x"], 0) * params["factors"] if factors else inputs["x"]
    return mod, inputs, params, np.tanh(x @ params["a/w"]) + x @ params["b/w"]


@pytest.mark.parametrize("factors", [False, True])
def test_data_are_quantised_once_with_the_factors_of_their_features(factors):
    mod, inputs, params, wanted = multiplied(factors)
    made = compile_model(mod, params, CompileSpec(), build=INT8)
    kernels = [call.facts.kind for call in made.lowered.calls]
    assert kernels.count("quantize_tokens") == 1
    assert kernels.count("packed_dense") == 2
    assert not any("multiply" in call.kernel for call in made.lowered.calls)
    (found,) = run_executable(made.executable, made.lowered.params, inputs)
    gap = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert 1e-5 < gap < 0.02


def test_depths_of_no_whole_words_stay_as_they_are():
    mod, inputs, params, wanted = multiplied(True, depth=22)
    made = compile_model(mod, params, CompileSpec(), build=INT8)
    assert set(made.lowered.stored.values()) == {("float32", "K = 22 is no multiple of 4")}
    (found,) = run_executable(made.executable, made.lowered.params, inputs)
    np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=1e-4)
