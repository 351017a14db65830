"""Freezing: static shapes, the inputs a model takes, named outputs and named weights."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.importers.reference_inputs import reference_inputs
from tvm_sparse.importers.tensorflow.graphdef import (
    FrozenGraph,
    freeze,
    input_signature,
    run_reference,
    variable_name,
)
from tvm_sparse.importers.tensorflow.huggingface import load_model
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.sources.source import resolve_source

pytestmark = pytest.mark.e2e


def frozen_model(directory, batch=2, seq_len=8, form="full"):
    spec = ModelSpec(str(directory), batch=batch, seq_len=seq_len, inputs=form)
    source = resolve_source(spec)
    model = load_model(source, spec.seed)
    inputs = input_signature(model, source.config, batch, seq_len, form)
    return model, source.config, freeze(model, inputs)


def run_frozen(frozen: FrozenGraph, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tf = import_tensorflow()
    # TensorFlow 2.21's own optimizer miscomputes frozen graphs with an erf-GELU (off by 0.04).
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
    with session, session.graph.as_default():
        tf.import_graph_def(frozen.graph_def, name="")
        tensors = {output.name: output.tensor for output in frozen.outputs}
        return session.run(tensors, {f"{name}:0": value for name, value in values.items()})


@pytest.mark.parametrize(
    ("architecture", "outputs"),
    [
        ("BertModel", ["last_hidden_state", "pooler_output"]),
        ("BertForQuestionAnswering", ["start_logits", "end_logits"]),
        ("BertForMaskedLM", ["logits"]),
    ],
)
def test_frozen_graph_computes_what_the_model_computes(config_dir, architecture, outputs):
    model, config, frozen = frozen_model(config_dir(architectures=[architecture]))
    assert [output.name for output in frozen.outputs] == outputs
    values = reference_inputs(frozen.inputs, config, seed=0)
    expected = run_reference(model, values)
    assert list(expected) == outputs
    for name, actual in run_frozen(frozen, values).items():
        np.testing.assert_allclose(actual, expected[name], rtol=1e-5, atol=1e-6)


def test_no_variables_functions_or_dynamic_shapes_are_left(config_dir):
    _, _, frozen = frozen_model(config_dir())
    assert not frozen.graph_def.library.function
    ops = {node.op for node in frozen.graph_def.node}
    assert not ops & {"VarHandleOp", "ReadVariableOp", "PartitionedCall", "If", "While"}
    assert all(min(output.shape) > 0 for output in frozen.outputs)


def test_every_variable_is_one_named_constant(config_dir):
    model, _, frozen = frozen_model(config_dir(architectures=["BertForMaskedLM"]))
    tf = import_tensorflow()
    values = {variable_name(model, v): v.numpy() for v in model.variables}
    assert set(frozen.weight_names.values()) == set(values)
    assert "bert/encoder/layer_._0/attention/self/query/kernel" in values
    nodes = {node.name: node for node in frozen.graph_def.node}
    for node, name in frozen.weight_names.items():
        assert nodes[node].op == "Const"
        constant = tf.make_ndarray(nodes[node].attr["value"].tensor)
        np.testing.assert_array_equal(constant, values[name])


def test_names_do_not_depend_on_models_built_before(config_dir):
    directory = config_dir()
    first = frozen_model(directory)[2].weight_names
    assert set(frozen_model(directory)[2].weight_names.values()) == set(first.values())


@pytest.mark.parametrize(
    ("kind", "changes", "form", "expected"),
    [
        ("bert", {}, "full", ["input_ids", "attention_mask", "token_type_ids"]),
        ("bert", {"type_vocab_size": 1}, "full", ["input_ids", "attention_mask"]),
        ("bert", {}, "single", ["input_ids"]),
        ("vit", {}, "full", ["pixel_values"]),
        ("resnet", {}, "full", ["pixel_values"]),
    ],
)
def test_inputs_are_those_the_model_takes(config_dir, kind, changes, form, expected):
    _, config, frozen = frozen_model(config_dir(kind, **changes), form=form)
    assert [i.name for i in frozen.inputs] == expected
    placeholders = {node.name for node in frozen.graph_def.node if node.op == "Placeholder"}
    assert placeholders == set(expected)
    size = config.get("image_size")
    shape = (2, 3, size, size) if size else (2, 8)
    assert all(i.shape == shape for i in frozen.inputs)


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_image_models_compute_the_same(config_dir, kind):
    model, config, frozen = frozen_model(config_dir(kind))
    values = reference_inputs(frozen.inputs, config, seed=0)
    expected = run_reference(model, values)["logits"]
    assert np.abs(expected).max() > 1e-3  # weights of a scale that lets a signal through
    actual = run_frozen(frozen, values)["logits"]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


FULL = tuple(
    TensorSpec(n, (3, 20), "int32") for n in ("input_ids", "attention_mask", "token_type_ids")
)


@pytest.mark.unit
@pytest.mark.parametrize("pad", [0, 1])
def test_reference_inputs_are_padded_rows_of_different_lengths(pad):
    values = reference_inputs(FULL, {"vocab_size": 50, "pad_token_id": pad}, seed=0)
    ids, mask = values["input_ids"], values["attention_mask"]
    assert all(v.dtype == np.int32 and v.shape == (3, 20) for v in values.values())
    lengths = mask.sum(axis=1)
    assert len(set(lengths)) == 3
    assert (np.diff(mask, axis=1) <= 0).all()  # padding is at the end
    assert ((ids == pad) == (mask == 0)).all()
    assert ids.min() >= 0
    assert ids.max() < 50
    assert set(np.unique(values["token_type_ids"])) == {0, 1}
    assert not values["token_type_ids"][mask == 0].any()


@pytest.mark.unit
def test_reference_inputs_follow_the_seed_and_pad_a_single_row_too():
    config = {"vocab_size": 50}
    one = (
        TensorSpec("input_ids", (1, 20), "int32"),
        TensorSpec("attention_mask", (1, 20), "int32"),
    )
    values = reference_inputs(one, config, seed=0)
    assert 0 < values["attention_mask"].sum() < 20
    again = reference_inputs(one, config, seed=0)
    np.testing.assert_array_equal(values["input_ids"], again["input_ids"])
    other = reference_inputs(one, config, seed=1)
    assert not np.array_equal(values["input_ids"], other["input_ids"])
    alone = reference_inputs(one[:1], config, seed=0)
    assert (alone["input_ids"] != 0).all()
