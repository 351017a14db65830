"""compile_model: from an imported module to code that computes what TVM's own pipeline does."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from encoder_builds import encoder, prune
from kernel_runner import RUNNABLE
from relax_modules import evaluate, run_executable
from tolerances import MODEL

from tvm_sparse.compiler import compile as compiling
from tvm_sparse.compiler.compile import Build, compile_model
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import BuildError, ConfigError, SparsityError

pytestmark = pytest.mark.ir

SPARSE = SparsitySpec(block_shape=(4, 1), sparsity_threshold=0.5)


@pytest.fixture(scope="module")
def model():
    return encoder(1, 3, 21, 24)


def run(build: Build, inputs) -> list[np.ndarray]:
    return run_executable(build.executable, build.lowered.params, inputs)


@pytest.mark.parametrize("sparsity", [None, SPARSE], ids=["dense", "sparse"])
def test_outputs(model, sparsity):
    mod, params, inputs, _ = model
    params = prune(params, (4, 1))
    build = compile_model(mod, params, CompileSpec(), sparsity)
    assert bool(build.lowered.decisions) == (sparsity is not None)
    assert build.compile_s >= sum(build.lowered.phase_s.values())
    for found, wanted in zip(run(build, inputs), evaluate(mod, params, inputs), strict=True):
        np.testing.assert_allclose(found, wanted, **MODEL)


def test_the_target_is_the_one_asked_for(model):
    mod, params, inputs, outputs = model
    build = compile_model(mod, params, CompileSpec(RUNNABLE[0]))
    assert build.target.isa == RUNNABLE[0]
    code = build.executable.mod.imports[0].inspect_source("ll")
    assert f'"target-cpu"="{RUNNABLE[0]}"' in code
    for found, wanted in zip(run(build, inputs), outputs.values(), strict=True):
        np.testing.assert_allclose(found, wanted, **MODEL)


def test_progress_and_dump(model, tmp_path):
    told = []
    mod, params, _, _ = model
    build = compile_model(mod, params, CompileSpec(dump_ir=str(tmp_path)), None, told.append)
    assert told == [*build.lowered.phase_s, "generate_code"]
    assert len(list(tmp_path.iterdir())) == len(told) - 1


def test_bad_requests(model):
    mod, params, _, _ = model
    with pytest.raises(ConfigError, match="target 'pentium' given: use one of native"):
        compile_model(mod, params, CompileSpec("pentium"))
    with pytest.raises(SparsityError):
        compile_model(mod, params, CompileSpec(), SparsitySpec(block_shape=(5, 7)))


@pytest.mark.parametrize("kind", [ValueError, tvm.error.InternalError])
def test_a_failure_of_code_generation_is_one_line(model, monkeypatch, kind):
    def fail(*_args, **_options):
        raise kind("Traceback ...\n  in LLVM\n\nCheck failed: no such register")

    monkeypatch.setattr(compiling.relax, "build", fail)
    mod, params, _, _ = model
    with pytest.raises(BuildError) as caught:
        compile_model(mod, params, CompileSpec("x86-64-v3"))
    message = str(caught.value)
    assert message == "code generation for x86-64-v3 failed: Check failed: no such register"
