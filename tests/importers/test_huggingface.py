"""The TF model of a source: its class, its weights, and what does not fit."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_bert import CONFIG, bert_tensors, write_checkpoint

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.importers.random_weights import pruned_nonzeros, random_value
from tvm_sparse.importers.tensorflow.graphdef import variable_name
from tvm_sparse.importers.tensorflow.huggingface import load_model, load_with_gaps
from tvm_sparse.sources.source import resolve_source

pytestmark = pytest.mark.e2e

PARTS = ("kernel", "bias")


def load(directory, seed: int = 0):
    return load_model(resolve_source(ModelSpec(str(directory), seq_len=8, seed=seed)), seed)


def weights_of(model) -> dict[str, np.ndarray]:
    return {variable_name(model, v): v.numpy() for v in model.variables}


@pytest.mark.parametrize(
    ("architecture", "class_name"),
    [
        ("BertModel", "TFBertModel"),
        ("BertForPreTraining", "TFBertModel"),
        ("BertForMaskedLM", "TFBertForMaskedLM"),
        ("BertForQuestionAnswering", "TFBertForQuestionAnswering"),
        ("BertForSequenceClassification", "TFBertForSequenceClassification"),
        ("TFBertForTokenClassification", "TFBertForTokenClassification"),
    ],
)
def test_class_follows_the_architecture(config_dir, architecture, class_name):
    model = load(config_dir(architectures=[architecture]))
    assert type(model).__name__ == class_name


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_image_models(config_dir, kind):
    model = load(config_dir(kind))
    assert all(np.isfinite(value).all() for value in weights_of(model).values())


def test_seeded_weights_repeat_and_have_a_realistic_scale(config_dir):
    first, again = weights_of(load(config_dir())), weights_of(load(config_dir()))
    other = weights_of(load(config_dir(), seed=1))
    assert first.keys() == again.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
        assert not np.array_equal(value, other[name])
    kernel = first["bert/encoder/layer_._0/intermediate/dense/kernel"]
    assert kernel.std() == pytest.approx(0.02, rel=0.1)
    scale = first["bert/embeddings/LayerNorm/gamma"]
    assert scale.mean() == pytest.approx(1.0, abs=0.02)


def test_encoder_weights_are_the_same_under_every_head(config_dir):
    bare = weights_of(load(config_dir(architectures=["BertModel"])))
    head = weights_of(load(config_dir(architectures=["BertForQuestionAnswering"])))
    shared = [name for name in head if "/layer_._" in name]
    assert len(shared) == 32
    for name in shared:
        np.testing.assert_array_equal(head[name], bare[name])


# BERT-base: 72 kernels.
BERT_BASE = {
    f"bert/encoder/layer_._{i}/{name}/kernel": shape
    for i in range(12)
    for name, shape in {
        "attention/self/query": (768, 768),
        "attention/self/key": (768, 768),
        "attention/self/value": (768, 768),
        "attention/output/dense": (768, 768),
        "intermediate/dense": (768, 3072),
        "output/dense": (3072, 768),
    }.items()
} | {"bert/embeddings/word_embeddings/weight": (30522, 768), "qa_outputs/kernel": (768, 2)}


@pytest.mark.unit
def test_pruned_encoder_is_uneven_and_exact():
    counts = pruned_nonzeros(BERT_BASE, 0.95, seed=0)
    assert len(counts) == 72
    sizes = {name: int(np.prod(BERT_BASE[name])) for name in counts}
    assert sum(counts.values()) == round(0.05 * sum(sizes.values()))
    layer = [
        sum(c for n, c in counts.items() if f"_._{i}/" in n)
        / sum(s for n, s in sizes.items() if f"_._{i}/" in n)
        for i in range(12)
    ]
    assert layer[0] > 2 * layer[11]
    assert min(layer) > 0


@pytest.mark.unit
@pytest.mark.parametrize("element_sparsity", [0.0, 0.1, 0.5, 0.999, 1.0])
def test_nonzeros_never_exceed_a_matrix(element_sparsity):
    shapes = {f"bert/encoder/layer_._{i}/output/dense/kernel": (7, 5) for i in range(3)}
    counts = pruned_nonzeros(shapes, element_sparsity, seed=3)
    assert sum(counts.values()) == round((1 - element_sparsity) * 105)
    assert all(0 <= count <= 35 for count in counts.values())


@pytest.mark.unit
def test_pruned_value_has_exactly_its_nonzeros():
    value = random_value("bert/encoder/layer_._0/output/dense/kernel", (64, 48), 0, nonzeros=150)
    assert value.dtype == np.float32
    assert np.count_nonzero(value) == 150


@pytest.fixture
def saved(config_dir, tmp_path):
    """A saved question answering checkpoint and the weights it has."""
    directory = config_dir(architectures=["BertForQuestionAnswering"])
    model = load(directory)
    target = tmp_path / "saved"
    model.save_pretrained(target, safe_serialization=True)
    return target, weights_of(model), model


def assert_same_weights(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value)


def test_safetensors_checkpoint(saved):
    directory, weights, _ = saved
    assert_same_weights(weights_of(load(directory, seed=5)), weights)


def test_hdf5_checkpoint(saved, tmp_path):
    _, weights, model = saved
    model.save_pretrained(tmp_path / "h5", safe_serialization=False)
    assert_same_weights(weights_of(load(tmp_path / "h5", seed=5)), weights)


def test_checkpoint_with_fewer_layers(saved):
    directory, weights, _ = saved
    spec = ModelSpec(str(directory), num_layers=1)
    kept = weights_of(load_model(resolve_source(spec), 0))
    assert not any("layer_._1" in name for name in kept)
    assert_same_weights(kept, {name: weights[name] for name in kept})


def change_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_gaps_are_named_and_stay_nan(saved):
    directory, weights, _ = saved
    change_config(directory, architectures=["BertForSequenceClassification"])
    found = load_with_gaps(resolve_source(ModelSpec(str(directory))), 0)
    head = [f"{path}/{part}" for path in ("bert/pooler/dense", "classifier") for part in PARTS]
    assert list(found.missing) == head
    assert sorted(found.unused) == ["qa_outputs/bias", "qa_outputs/kernel"]
    loaded = weights_of(found.model)
    assert all(np.isnan(loaded[name]).all() for name in head)
    body = {name: value for name, value in loaded.items() if name not in head}
    assert_same_weights(body, {name: weights[name] for name in body})


def change_tensor(directory, name: str, change) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path)
    tensors[name] = np.ascontiguousarray(change(tensors[name]))
    save_file(tensors, path)


def with_nan(value):
    value[-1] = np.nan
    return value


INTERMEDIATE = "encoder.layer.0.intermediate.dense.weight"
WORDS = "embeddings.word_embeddings.weight"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (INTERMEDIATE, np.transpose, f"{INTERMEDIATE} is 32x64 .* 64x32 .* stored transposed"),
        (INTERMEDIATE, with_nan, f"{INTERMEDIATE} holds 32 values that are not finite"),
        (WORDS, lambda value: value[:-1], f"{WORDS} is 31x32 .* 32x32 .* another vocab_size"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, name, change, message):
    directory = write_checkpoint(tmp_path / "model", bert_tensors(CONFIG), CONFIG)
    change_tensor(directory, name, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(directory)
    assert "\n" not in str(caught.value)


def test_safetensors_of_pytorch(saved, tmp_path):
    """A checkpoint as PyTorch writes it: its names, weights of dense layers transposed."""
    directory, weights, _ = saved
    target = tmp_path / "torch"
    shutil.copytree(directory, target)
    tensors = load_file(directory / "model.safetensors")
    renamed = {_torch_name(name): _torch_value(name, v) for name, v in tensors.items()}
    save_file(renamed, target / "model.safetensors", metadata={"format": "pt"})
    assert_same_weights(weights_of(load(target)), weights)


def _torch_name(name: str) -> str:
    name = name.split(":")[0].replace("layer_._", "layer/").replace("/", ".")
    for ours, theirs in (("kernel", "weight"), ("gamma", "weight"), ("beta", "bias")):
        name = name.removesuffix(ours) + theirs if name.endswith("." + ours) else name
    return name.replace("embeddings.embeddings", "embeddings.weight")


def _torch_value(name: str, value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value.T) if "kernel" in name else value


def test_config_that_builds_no_model(config_dir):
    with pytest.raises(FrontendError, match=r"cannot be built|is refused") as caught:
        load(config_dir(hidden_act="no-such-activation"))
    assert "\n" not in str(caught.value)


def test_model_type_without_tensorflow_class(config_dir):
    directory = config_dir(model_type="bigbird", architectures=["BigBirdModel"])
    with pytest.raises(FrontendError, match="model type 'bigbird'"):
        load(directory)
