"""Every preset's architecture, in small: imported, run by TVM, compared with TensorFlow.

And TensorFlow with PyTorch's numbers: where its classes err, a build that agrees with them errs.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from pytorch_truth import configs, read_truth, sample, write_checkpoint
from small_models import CASES, LAYERS, RESNET, VARIANTS, VIT
from tensorflow_graphs import op_counts, run_module
from tolerances import MODEL
from tvm import relax

from tvm_sparse.config import ModelSpec
from tvm_sparse.importers.tensorflow.from_graphdef import from_graphdef
from tvm_sparse.importers.tensorflow.graphdef import freeze, input_signature, run_reference
from tvm_sparse.importers.tensorflow.huggingface import load_model
from tvm_sparse.importers.tensorflow.reference import reference_inputs
from tvm_sparse.sources.presets import load_presets
from tvm_sparse.sources.source import resolve_source

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SEQ_LEN = 11


def compare(tmp_path, batch: int):
    """Import the model of a directory and compare its outputs; return the module and weights."""
    spec = ModelSpec(str(tmp_path), batch=batch, seq_len=SEQ_LEN)
    source = resolve_source(spec)
    model = load_model(source, spec.seed)
    if source.kind == "random":
        strengthen(model)
    inputs = input_signature(model, source.config, batch, SEQ_LEN)
    values = reference_inputs(inputs, source.config, seed=batch)
    if "attention_mask" in values:
        assert not values["attention_mask"].all(), "the comparison needs padding"
    wanted = run_reference(model, values)
    frozen = freeze(model, inputs)
    mod, params = from_graphdef(frozen)
    results = run_module(mod, params, values)
    assert [output.name for output in frozen.outputs] == list(wanted)
    for got, (name, want) in zip(results, wanted.items(), strict=True):
        assert np.std(want) > 1e-3, f"{name} is constant: it proves nothing"
        # Relative to the size of the output: single logits pass through zero.
        np.testing.assert_allclose(
            got, want, rtol=MODEL["rtol"], atol=MODEL["atol"] * np.abs(want).max(), err_msg=name
        )
    return mod, params


def strengthen(model) -> None:
    """Scale small random matrices up, so that attention is far from uniform."""
    for variable in model.variables:
        if len(variable.shape) == 2:
            variable.assign(variable * 8.0)


def test_every_preset_is_covered():
    assert set(CASES) == set(load_presets())


@pytest.mark.parametrize("preset", CASES)
def test_preset_matches_tensorflow(preset, tmp_path):
    write_checkpoint(tmp_path, preset)
    for batch in (1, 3):
        mod, params = compare(tmp_path, batch)
        assert_contract(mod, params)
        assert_raised(op_counts(mod), configs()[preset])


@pytest.mark.parametrize("case", [*CASES, *VARIANTS])
def test_tensorflow_matches_pytorch(case, tmp_path):
    write_checkpoint(tmp_path, case)
    truth = read_truth(case)
    inputs = {name: np.array(value, np.int32) for name, value in truth["inputs"].items()}
    model = load_model(resolve_source(ModelSpec(str(tmp_path), batch=2, seq_len=SEQ_LEN)), 0)
    results = run_reference(model, inputs)
    assert results.keys() == truth["outputs"].keys()
    for name, wanted in truth["outputs"].items():
        assert list(results[name].shape) == wanted["shape"]
        np.testing.assert_allclose(
            sample(results[name]), wanted["sample"], rtol=1e-3, atol=1e-4, err_msg=name
        )


def test_vit_matches_tensorflow(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(VIT))
    for batch in (1, 3):
        mod, params = compare(tmp_path, batch)
        assert_contract(mod, params)
        counts = op_counts(mod)
        assert counts["nn.attention"] == counts["nn.gelu"] == LAYERS
        assert counts["nn.layer_norm"] == 2 * LAYERS + 1
        assert counts["matmul"] == 6 * LAYERS + 1
        assert counts["nn.conv2d"] == 1
        assert not {"erf", "nn.softmax", "mean", "rsqrt"} & set(counts)


def test_resnet_matches_tensorflow(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(RESNET))
    for batch in (1, 3):
        mod, params = compare(tmp_path, batch)
        assert_contract(mod, params)
        counts = op_counts(mod)
        assert counts["nn.conv2d"] == counts["nn.batch_norm"] > 6
        assert counts["nn.max_pool2d"] == 1


def assert_contract(mod, params) -> None:
    """One function, one dataflow block, inputs then named weights, no weight as a constant."""
    (function,) = mod.functions.values()
    names = [param.name for param in function.params]
    num_input = int(function.attrs["num_input"])
    assert names[num_input:] == list(params)
    assert len(set(names)) == len(names)
    assert len(function.body.blocks) == 1
    used = {var.name for var in relax.analysis.free_vars(function.body)}
    assert set(params) <= used, f"unused weights: {sorted(set(params) - used)}"
    assert not [name for name in params if ":" in name or name.startswith("tf_")]


def assert_raised(counts, config: dict) -> None:
    """Every attention, GELU and layer norm of the encoder is one op, nothing is left of them."""
    assert counts["nn.attention_bias"] == LAYERS
    left = {"erf", "power", "nn.softmax", "mean", "rsqrt", "sqrt"}
    assert not left & set(counts), counts
    head = config["architectures"][0]
    if config["model_type"] == "mobilebert":
        # NoNorm stays an add and a multiply; the masked LM head alone has a layer norm.
        assert counts["nn.layer_norm"] == 1
        assert counts["nn.gelu"] == counts["nn.gelu_tanh"] == 0
        return
    head_transforms = int(head.endswith("MaskedLM"))
    gelus = LAYERS + head_transforms
    tanh_gelu = config.get("hidden_act") == "gelu_new"
    assert counts["nn.gelu_tanh" if tanh_gelu else "nn.gelu"] == gelus
    assert counts["nn.gelu" if tanh_gelu else "nn.gelu_tanh"] == 0
    assert counts["nn.layer_norm"] == 2 * LAYERS + 1 + head_transforms
    # Query, key, value, output, two of the feed-forward; then embeddings mapping and the head.
    mapping = int(config["model_type"] in ("albert", "electra"))
    heads = {"Model": 1, "ForSequenceClassification": 2, "ForMaskedLM": 2}
    after = next((n for suffix, n in heads.items() if head.endswith(suffix)), 1)
    assert counts["matmul"] == 6 * LAYERS + mapping + after
    # Splitting and joining heads, and what heads do to their outputs; no chains of reshapes.
    assert counts["reshape"] <= 4 * LAYERS + 4
