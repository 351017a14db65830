from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relax

from tvm_sparse.compiler.compile import Build, compile_model, replace_weights
from tvm_sparse.compiler.reference_check import check_against_reference
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import BuildError, CheckError
from tvm_sparse.model.model import Reference

pytestmark = pytest.mark.ir

TOKENS = (1, 8, 16)
INPUT = {"x": np.random.default_rng(5).standard_normal(TOKENS, dtype=np.float32)}


def shared_module() -> tvm.IRModule:
    """Two layers that multiply the same weight."""
    op = relax.op
    names = {"x": TOKENS, "w": (16, 16), "b": (16,), "c": (16,)}
    x, w, b, c = (relax.Var(n, relax.TensorType(shape, "float32")) for n, shape in names.items())
    builder = relax.BlockBuilder()
    with builder.function("main", [x, w, b, c], attrs={"num_input": 1}):
        with builder.dataflow():
            hidden = builder.emit(op.nn.relu(builder.emit(op.add(op.matmul(x, w), b))))
            out = builder.emit(op.add(op.matmul(hidden, w), c))
            result = builder.emit_output(relax.Tuple([out]))
        builder.emit_func_output(result)
    return relax.transform.Normalize()(builder.get())


def random_params(seed: int, width: int = 16) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"w": (width, width), "b": (width,), "c": (width,)}
    return {name: rng.standard_normal(s, dtype=np.float32) for name, s in shapes.items()}


def expected(params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    hidden = np.maximum(INPUT["x"] @ params["w"] + params["b"], 0)
    return {"out": hidden @ params["w"] + params["c"]}


@pytest.fixture(scope="module")
def build() -> Build:
    return compile_model(shared_module(), random_params(0), CompileSpec("x86-64-v2"))


def test_the_code_runs_with_either_weights(build: Build) -> None:
    first, second = (Reference(p, INPUT, expected(p)) for p in map(random_params, (0, 1)))
    check_against_reference(build, first, 2, 1e-4, 1e-4)
    other = replace_weights(build, shared_module(), random_params(1))
    assert other.executable is build.executable
    check_against_reference(other, second, 2, 1e-4, 1e-4)
    with pytest.raises(CheckError, match="differs from TensorFlow in out"):
        check_against_reference(build, second, 2, 1e-4, 1e-4)


def test_a_shared_weight_is_one_argument(build: Build) -> None:
    params = build.lowered.params
    main = build.lowered.mod["main"]
    assert [var.name for var in main.params] == ["x", *params]
    assert sorted(params) == ["b", "c", "w.packed"]


def test_weights_of_another_shape_are_refused(build: Build) -> None:
    sparse = SparsitySpec(block_shape=(4, 1), sparsity_threshold=0.0, include=("w",))
    params = random_params(0)
    params["w"][:, :8] = 0
    mod = shared_module()
    sparse_build = compile_model(mod, params, CompileSpec("x86-64-v2"), sparse)
    assert any(name.endswith(".offsets") for name in sparse_build.lowered.params)
    with pytest.raises(BuildError, match="names, shapes and dtypes") as caught:
        replace_weights(sparse_build, mod, params)
    assert "\n" not in str(caught.value)
