"""Every architecture through the whole compiler: dense against TensorFlow, sparse against dense."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from imported_modules import assert_contract, assert_raised, assert_vision_raised
from relax_modules import run_executable
from small_models import CASES, LAYERS, RESNET, TORCH_CASES, VIT, small_config
from tensorflow_graphs import op_counts
from tolerances import MODEL

from tvm_sparse.compiler.compile import Build, compile_model, replace_weights
from tvm_sparse.compiler.reference_check import check_against_reference
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.importers.reference_inputs import reference_inputs
from tvm_sparse.importers.tensorflow.from_graphdef import from_graphdef
from tvm_sparse.importers.tensorflow.graphdef import freeze, input_signature, run_reference
from tvm_sparse.importers.tensorflow.huggingface import load_model
from tvm_sparse.ir.dense_layers import dense_layers
from tvm_sparse.model.model import Reference
from tvm_sparse.runtime.compare import difference
from tvm_sparse.sources.presets import load_presets
from tvm_sparse.sources.source import resolve_source
from tvm_sparse.sparsity.sparsify import sparsify

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SEQ_LEN = 11  # of no multiple of a vector register
SPEC = CompileSpec()
TOLERANCES = (MODEL["atol"], MODEL["rtol"])
# Batch, and the blocks of the sparse build.
SHAPES = [(1, (4, 1)), (3, (1, 1))]


@dataclass(frozen=True)
class Imported:
    mod: Any
    reference: Reference


def import_small(directory, config: dict[str, Any], batch: int) -> Imported:
    """Import a seeded model of a config, with what TensorFlow computes on padded inputs."""
    (directory / "config.json").write_text(json.dumps(config))
    spec = ModelSpec(str(directory), weights="random", batch=batch, seq_len=SEQ_LEN)
    source = resolve_source(spec)
    model = load_model(source, spec.seed)
    # Seeded weights have the scale of wide layers; in narrow ones they would hardly add to what
    # the residuals carry past them, and the outputs say little about the encoder.
    for variable in model.weights:
        if variable.shape.rank == 2 and "kernel" in variable.name:
            variable.assign(variable * 8.0)
    inputs = input_signature(model, source.config, batch, SEQ_LEN)
    values = reference_inputs(inputs, source.config, seed=batch)
    if "attention_mask" in values:
        assert not values["attention_mask"].all(), "the comparison needs padding"
    outputs = run_reference(model, values)
    frozen = freeze(model, inputs)
    assert [output.name for output in frozen.outputs] == list(outputs)
    mod, params = from_graphdef(frozen)
    assert_contract(mod, params)
    return Imported(mod, Reference(params, values, outputs))


def check_dense(model: Imported) -> Build:
    """Compile the dense build and compare it with TensorFlow, as a run of the tool does."""
    build = compile_model(model.mod, model.reference.params, SPEC)
    gaps = check_against_reference(build, model.reference, 2, *TOLERANCES)
    assert gaps.keys() == model.reference.outputs.keys()
    for name, gap in gaps.items():
        assert np.std(model.reference.outputs[name]) > 1e-3, f"{name} proves nothing"
        # Of small outputs a tolerance of 1e-4 would prove little.
        assert gap <= MODEL["rtol"] * np.abs(model.reference.outputs[name]).max(), name
    return build


def check_sparse(model: Imported, dense: Build, block_shape: tuple[int, int]) -> Build:
    """Compile the sparse build of filled weights and compare it with a dense one of the same."""
    spec = SparsitySpec(sparsity=0.8, block_shape=block_shape, prune="random")
    params = sparsify(
        model.reference.params, dense_layers(model.mod, model.reference.params.keys()), spec
    )
    twin = replace_weights(dense, model.mod, params)
    wanted = outputs_of(twin, model)
    build = compile_model(model.mod, params, SPEC, spec)
    found = outputs_of(build, model)
    for name, value in wanted.items():
        assert difference(found[name], value, 0, 0).max_relative <= MODEL["rtol"], name
        # The filled weights are others than the model's own: the comparison proves something.
        assert difference(value, model.reference.outputs[name], 0, 0).max_relative > 0.1, name
    return build


def outputs_of(build: Build, model: Imported) -> dict[str, np.ndarray]:
    results = run_executable(build.executable, build.lowered.params, model.reference.inputs)
    return dict(zip(model.reference.outputs, results, strict=True))


def test_every_preset_is_covered():
    """Here or, through PyTorch, in the importers' tests; NomicBERT wants transformers 5."""
    covered = {load_presets()[name].config["model_type"] for name in (*CASES, *TORCH_CASES)}
    covered |= {VIT["model_type"], "nomic_bert"}
    assert covered == {preset.config["model_type"] for preset in load_presets().values()}


@pytest.mark.parametrize(
    ("preset", "shape"), list(zip(CASES, itertools.cycle(SHAPES), strict=False))
)
def test_preset(preset, shape, tmp_path):
    batch, block_shape = shape
    config = small_config(preset)
    model = import_small(tmp_path, config, batch)
    assert_raised(model.mod, config)
    dense = check_dense(model)
    assert_encoder_is_tiled(dense)
    sparse = check_sparse(model, dense, block_shape)
    assert_encoder_is_tiled(sparse)
    actions = [decision.action for decision in sparse.lowered.decisions]
    assert actions.count("sparse") >= 6


def assert_encoder_is_tiled(build: Build) -> None:
    """Attention and products run in our kernels; nothing of the encoder is left to generic code."""
    kernels = [call.kernel for call in build.lowered.calls]
    attention = ("attention_", "first_token_attention_")
    assert sum(kernel.startswith(attention) for kernel in kernels) == LAYERS
    generic = [k for k in kernels if "matmul" in k or "softmax" in k or "gelu" in k.split("_")[0]]
    assert not generic


@pytest.mark.parametrize(("batch", "block_shape"), SHAPES, ids=["1-4x1", "3-1x1"])
def test_vision_transformer(batch, block_shape, tmp_path):
    model = import_small(tmp_path, VIT, batch)
    assert_vision_raised(model.mod)
    dense = check_dense(model)
    assert_encoder_is_tiled(dense)
    assert_encoder_is_tiled(check_sparse(model, dense, block_shape))


@pytest.mark.parametrize("batch", [1, 3])
def test_resnet(batch, tmp_path):
    """Convolutions and pooling run in TVM's kernels, scheduled by us; 1x1 windows are products."""
    model = import_small(tmp_path, RESNET, batch)
    counts = op_counts(model.mod)
    assert counts["nn.conv2d"] == counts["nn.batch_norm"] > 6
    assert counts["nn.max_pool2d"] == 1
    dense = check_dense(model)
    kernels = [call.kernel for call in dense.lowered.calls]
    convolutions = sum("conv2d" in kernel for kernel in kernels)
    assert convolutions == 5
    # The head is one too.
    products = sum(kernel.startswith("packed_dense") for kernel in kernels)
    assert products + convolutions == counts["nn.conv2d"] + 1
    assert sum("max_pool2d" in kernel for kernel in kernels) == 1


def test_more_layers_take_no_more_kernels(tmp_path):
    """What is compiled depends on the shapes of the layers, not on their number."""
    compiled = []
    for num_layers in (2, 4):
        directory = tmp_path / str(num_layers)
        directory.mkdir()
        config = {**small_config("bert-mini"), "num_hidden_layers": num_layers}
        model = import_small(directory, config, batch=1)
        lowered = compile_model(model.mod, model.reference.params, SPEC).lowered
        compiled.append(sorted(gv.name_hint for gv in lowered.mod.get_global_vars()))
        assert sum(call.kernel.startswith("attention_") for call in lowered.calls) == num_layers
    assert compiled[0] == compiled[1]


def test_no_call_into_libm_is_left_in_bert(tmp_path):
    model = import_small(tmp_path, small_config("bert-tiny"), batch=1)
    build = compile_model(model.mod, model.reference.params, SPEC)
    code = build.executable.mod.imports[0].inspect_source("ll")
    declared = re.findall(r"^declare [^@\n]*@([\w.]+)\(", code, flags=re.MULTILINE)
    assert any(name.startswith("llvm.fmuladd") for name in declared), declared
    libm = re.compile(r"(llvm\.)?(erf|exp|tanh|pow|log)f?(\.\w+)?")
    assert not [name for name in declared if libm.fullmatch(name)]
