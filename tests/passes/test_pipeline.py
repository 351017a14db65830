"""The whole list of passes: what goes in stays, what comes out is shared, named and complete."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import tvm
from kernel_runner import RUNNABLE
from relax_modules import evaluate, make_encoder, make_module, random_values, run_executable
from tolerances import MODEL
from tvm import relax

from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import PassError, SparsityError
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.passes.pipeline import LOWER, Phases, lower
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir

SPARSE = SparsitySpec(block_shape=(4, 1), sparsity_threshold=0.5)
PHASES = [
    "join_weights",
    "fold_weights",
    "simplify_fc_transpose",
    "bsr_dense",
    "patch_products",
    "constant_factors",
    "first_tokens_only",
    "tile_tokens",
    "split_batch",
    "dispatch_scans",
    "legalize",
    "annotate",
    "fold_constants",
    "fuse_ops",
    "fuse_tir",
    "schedule_fallback",
    "rewrite_reshape",
    "remove_unused",
]


def pruned(params: dict[str, np.ndarray], block_shape=(4, 1)) -> dict[str, np.ndarray]:
    """The weights of the encoder with 80 % of their blocks zero."""
    rng = np.random.default_rng(0)
    bs_r, bs_c = block_shape
    result = {}
    for name, value in params.items():
        if name.startswith("encoder") and value.ndim == 2:
            depth, units = value.shape
            keep = rng.random((depth // bs_c, units // bs_r)) < 0.2
            value = value * np.kron(keep, np.ones((bs_c, bs_r), np.float32))
        result[name] = value
    return result


def build(lowered, isa: str):
    return relax.build(lowered.mod, target=tvm_target(resolve_target(isa)), relax_pipeline=LOWER)


@pytest.fixture(scope="module")
def encoder():
    """A module, its pruned weights, inputs, and what TVM's own pipeline makes of them."""
    mod = make_encoder(1, batch=3, seq_len=21)
    inputs, params = random_values(mod)
    params = pruned(params)
    return mod, params, inputs, evaluate(mod, params, inputs)


@pytest.mark.parametrize("isa", RUNNABLE)
@pytest.mark.parametrize("sparsity", [None, SPARSE], ids=["dense", "sparse"])
def test_every_instruction_set_computes_what_tvm_does(encoder, isa, sparsity):
    mod, params, inputs, outputs = encoder
    lowered = lower(mod, params, resolve_target(isa), sparsity)
    results = run_executable(build(lowered, isa), lowered.params, inputs)
    for found, wanted in zip(results, outputs, strict=True):
        np.testing.assert_allclose(found, wanted, **MODEL)


@pytest.mark.parametrize("block_shape", [(1, 1), (16, 1)], ids=str)
@pytest.mark.parametrize("density", [0.0, 1.0])
def test_weights_of_zeros_alone_and_of_none(encoder, block_shape, density):
    mod, _, inputs, _ = encoder
    ends = {
        name: value * np.float32(density)
        if name.startswith("encoder") and value.ndim == 2
        else value
        for name, value in random_values(mod)[1].items()
    }
    spec = SparsitySpec(block_shape=block_shape, sparsity_threshold=0.0, include=("encoder/*",))
    if block_shape[0] == 16:  # of 24 outputs no multiple
        spec = replace(spec, include=("*inner*",))
    lowered = lower(mod, ends, resolve_target(), spec)
    assert any(decision.action == "sparse" for decision in lowered.decisions)
    results = run_executable(build(lowered, "native"), lowered.params, inputs)
    for found, wanted in zip(results, evaluate(mod, ends, inputs), strict=True):
        np.testing.assert_allclose(found, wanted, **MODEL)


@pytest.mark.parametrize("sparsity", [None, SPARSE], ids=["dense", "sparse"])
def test_aarch64_code_is_generated(sparsity, tmp_path):
    mod = make_encoder(1)
    _, params = random_values(mod)
    lowered = lower(mod, pruned(params), resolve_target("aarch64"), sparsity)
    path = tmp_path / "model.o"
    build(lowered, "aarch64").mod.imports[0].write_to_file(str(path), "o")
    assert path.read_bytes()[18] == 183  # e_machine of the ELF header: AArch64


@pytest.mark.parametrize("sparsity", [None, SPARSE], ids=["dense", "sparse"])
def test_kernels_of_one_shape_are_compiled_once(sparsity):
    kernels = []
    for num_layers in (2, 4):
        mod = make_encoder(num_layers)
        _, params = random_values(mod)
        lowered = lower(mod, pruned(params), resolve_target(), sparsity)
        kernels.append({gv.name_hint for gv in lowered.mod.get_global_vars()})
        products = sum("dense" in call.kernel for call in lowered.calls)
        assert products == 4 * num_layers + 1
    assert kernels[0] == kernels[1]


def test_what_is_given_is_not_changed():
    mod = make_encoder()
    _, params = random_values(mod)
    params = pruned(params)
    text, copies = mod.script(), {name: value.copy() for name, value in params.items()}
    lower(mod, params, resolve_target(), SPARSE)
    assert mod.script() == text
    assert list(params) == list(copies)
    for name, value in copies.items():
        np.testing.assert_array_equal(params[name], value)


def test_weights_come_in_the_order_of_the_parameters():
    mod = make_encoder(1)
    _, params = random_values(mod)
    lowered = lower(mod, params, resolve_target())
    main = lowered.mod["main"]
    weights = main.params[int(main.attrs["num_input"]) :]
    assert [var.name for var in weights] == list(lowered.params)
    for var in weights:
        assert tuple(map(int, var.ty.shape.values)) == lowered.params[var.name].shape
    assert lowered.weights_bytes == sum(value.nbytes for value in lowered.params.values())
    # Nothing is bound that no kernel reads, no weight in two forms.
    used = {var.name for var in relax.analysis.free_vars(main.body)}
    assert set(lowered.params) <= used


def test_a_sparse_build_is_smaller():
    mod = make_encoder(width=48)
    _, params = random_values(mod)
    params = pruned(params)
    dense = lower(mod, params, resolve_target())
    sparse = lower(mod, params, resolve_target(), SPARSE)
    assert sparse.weights_bytes < 0.6 * dense.weights_bytes
    assert not dense.decisions
    actions = {decision.weight.rpartition("/")[0]: decision.action for decision in sparse.decisions}
    assert actions["encoder/layer_._0/inner"] == "sparse"
    assert actions["pooler"] == "dense"


def test_phases_are_told_timed_and_dumped(tmp_path):
    told = []
    mod = make_encoder(1)
    _, params = random_values(mod)
    phases = Phases(str(tmp_path / "dump"), told.append)
    lowered = lower(mod, pruned(params), resolve_target(), SPARSE, phases)
    assert told == list(lowered.phase_s) == PHASES
    files = sorted(path.name for path in (tmp_path / "dump").iterdir())
    assert files == [f"{index:02d}_{name}.txt" for index, name in enumerate(PHASES, start=1)]
    text = (tmp_path / "dump" / "04_bsr_dense.txt").read_text()
    assert "tvm_sparse.sparse_dense" in text
    assert "tvm_sparse.sparse_dense" not in (tmp_path / "dump" / "11_legalize.txt").read_text()
    tiled = (tmp_path / "dump" / "08_tile_tokens.txt").read_text()
    assert "RowProduct refused: the weight is BSR float32" in tiled


def test_no_call_into_libm_is_left_in_an_encoder():
    mod = make_encoder(1)
    _, params = random_values(mod)
    executable = build(lower(mod, params, resolve_target()), "native")
    code = executable.mod.imports[0].inspect_source("ll")
    called = set(re.findall(r"call [^@\n]*@([\w.]+)\(", code))
    libm = re.compile(r"^(llvm\.)?(erf|exp|tanh|pow|log)f?(\.|$)")
    assert "fmuladd" in code
    assert not [name for name in called if libm.match(name)]


def test_sums_over_positions_and_sorts():
    """RoBERTa counts its positions with a cumulative sum."""

    def body(emit, ids):
        summed = emit(relax.op.cumsum(ids, axis=1))
        order = emit(relax.op.argsort(emit(relax.op.astype(summed, "float32")), descending=True))
        return relax.Tuple([summed, order])

    ids = np.array([[1, 0, 1, 1], [0, 1, 0, 1]], np.int32)
    mod = make_module({"ids": ids.shape}, {}, body)
    lowered = lower(mod, {}, resolve_target())
    summed, order = run_executable(build(lowered, "native"), {}, {"ids": ids})
    np.testing.assert_array_equal(summed, np.cumsum(ids, axis=1))
    np.testing.assert_array_equal(np.take_along_axis(summed, order, 1), summed[:, ::-1])


def test_errors_of_the_passes_come_through():
    mod = make_encoder(1)
    _, params = random_values(mod)
    with pytest.raises(SparsityError):
        lower(mod, params, resolve_target(), SparsitySpec(block_shape=(5, 7)))
    with pytest.raises(SparsityError):
        lower(mod, params, resolve_target(), SparsitySpec(include=("nothing*",)))
    other = make_module({"x": (3,)}, {}, lambda emit, x: relax.op.negative(x))["main"]
    with pytest.raises(PassError):
        lower(tvm.IRModule({"other": other}), {}, resolve_target())
