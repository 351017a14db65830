"""Where a model comes from: presets, directories and a hub that is there, slow, or gone."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from safetensors.numpy import save_file
from source_checkpoints import CONFIG, make_checkpoint, resolve

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import CheckpointError, ConfigError, FrontendError, ModelNotFoundError
from tvm_sparse.sources.architecture import with_num_layers
from tvm_sparse.sources.presets import load_presets
from tvm_sparse.sources.source import ModelSource, resolve_source
from tvm_sparse.tasks.registry import task_of

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("empty_hub_cache")]


def test_directory_with_safetensors(checkpoint):
    source = resolve(checkpoint)
    assert (source.kind, source.directory) == ("checkpoint", str(checkpoint))
    assert (source.task, source.weights_format) == ("sequence-classification", "safetensors")
    assert source.detail == f"checkpoint {checkpoint}"
    assert ModelSource(**json.loads(json.dumps(asdict(source)))) == source


def test_fingerprint_follows_the_contents_of_the_weights(checkpoint, tmp_path):
    before = resolve(checkpoint).fingerprint
    copy = make_checkpoint(tmp_path / "copy")
    assert resolve(copy).fingerprint == before
    save_file({"a": np.ones(64, dtype=np.float32)}, copy / "model.safetensors")
    assert resolve(copy).fingerprint != before


@pytest.mark.parametrize("missing_bytes", [1, 200, 255, 300])
def test_truncated_safetensors_is_named(checkpoint, missing_bytes):
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-missing_bytes])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated"):
        resolve(checkpoint)


@pytest.mark.parametrize("contents", [b"", b"\x00" * 8 + b"{}", b"\x04" + b"\x00" * 7 + b"oops"])
def test_damaged_safetensors_is_named(checkpoint, contents):
    (checkpoint / "model.safetensors").write_bytes(contents)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        resolve(checkpoint)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"a": 5}}, "weight_map.a: Expected str, got int"),
        ({"weight_map": {"a": "x" * 5000}}, "weight_map.a: Expected str of length <= 200"),
        ({"weight_map": {"a": "../a"}}, "names the shard '../a', which is no file beside it"),
        ({"weight_map": {"a": "a\0"}}, r"names the shard 'a.x00', which is no file"),
        ({"weight_map": {}}, "lists no shards"),
        ({}, "lists no shards"),
        ([], "Expected object, got array"),
    ],
)
def test_what_is_no_index_of_shards_is_refused(index, message, checkpoint):
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=message):
        resolve_source(ModelSpec(str(checkpoint)))


def test_sharded_safetensors_need_every_shard(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"lacks model-2\.safetensors"):
        resolve(checkpoint)
    save_file({"b": np.ones(2, dtype=np.float32)}, checkpoint / "model-2.safetensors")
    assert resolve(checkpoint).kind == "checkpoint"


def test_hdf5_weights(checkpoint):
    import h5py

    (checkpoint / "model.safetensors").unlink()
    path = checkpoint / "tf_model.h5"
    with h5py.File(path, "w") as file:
        file["weights"] = np.arange(1000)
    assert resolve(checkpoint).weights_format == "h5"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"tf_model\.h5 is truncated"):
        resolve(checkpoint)
    path.write_bytes(b"no HDF5")
    with pytest.raises(CheckpointError, match=r"tf_model\.h5 is no HDF5 file"):
        resolve(checkpoint)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weights.bin", "convert it to safetensors"),
        ("pytorch_model-00001-of-00002.bin", "convert it to safetensors"),
        ("model.fp16.safetensors", r"name it model\.safetensors"),
        ("checkpoint-500/model.safetensors", "give its own directory"),
        ("adapter_model.safetensors", "an adapter, no model"),
        ("flax_model.msgpack", "Flax's format"),
        ("saved_model/1/saved_model.pb", "a SavedModel"),
        ("onnx/model.onnx", "give the file itself"),
        ("my_model.h5", r"name it tf_model\.h5"),
    ],
)
def test_weights_in_a_form_that_is_not_read_are_named(checkpoint, name, message):
    path = checkpoint / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (checkpoint / "model.safetensors").rename(path)
    (checkpoint / "training_args.bin").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=f"only in {name}.*{message}"):
        resolve(checkpoint)
    assert resolve(checkpoint, weights="random").kind == "random"
    (checkpoint / "config.json").unlink()
    with pytest.raises(CheckpointError, match=rf"no config\.json, but {name}"):
        resolve(checkpoint)


def test_quantised_weights_are_refused_by_their_config(tmp_path):
    config = {**CONFIG, "quantization_config": {"quant_method": "bitsandbytes"}}
    directory = make_checkpoint(tmp_path / "int4", config)
    with pytest.raises(CheckpointError, match=r"weights are quantised \(bitsandbytes\)"):
        resolve(directory)


def test_directory_without_weights(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    source = resolve(checkpoint)
    assert source.kind == "random"
    assert "has no weights" in source.detail
    with pytest.raises(CheckpointError, match="has no weights"):
        resolve(checkpoint, weights="checkpoint")


def test_directory_without_config(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        resolve(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"hidden_size": 4}'])
def test_directory_with_a_config_that_is_none(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        resolve(tmp_path)


def test_masks_that_only_a_forward_pass_makes_are_refused(tmp_path):
    config = {"model_type": "masked_bert", "pruning_method": "magnitude"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"magnitude: .* make the pruning permanent"):
        resolve(tmp_path)


def test_directory_that_does_not_exist(tmp_path):
    with pytest.raises(ModelNotFoundError, match="no such directory") as caught:
        resolve(tmp_path / "none")
    assert "\n" not in str(caught.value)


def test_unknown_model_names_the_presets_and_a_guess():
    with pytest.raises(ModelNotFoundError, match=r"did you mean bert-base\?") as caught:
        resolve("bert-bse")
    message = str(caught.value)
    assert "\n" not in message
    assert all(name in message for name in load_presets())


def test_unknown_model_without_network_is_an_error_under_every_policy():
    for policy in ("auto", "checkpoint", "random"):
        with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE is set"):
            resolve("someone/some-model", weights=policy)


def test_offline_preset_falls_back_to_seeded_weights_and_says_so():
    source = resolve("prunebert")
    assert (source.kind, source.directory) == ("random", None)
    assert (source.task, source.element_sparsity) == ("question-answering", 0.95)
    assert source.detail.startswith("seeded random weights (seed 0), 95% of")
    assert source.detail.endswith("HF_HUB_OFFLINE is set")
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set"):
        resolve("prunebert", weights="checkpoint")


def test_fingerprint_of_seeded_weights_follows_seed_and_architecture():
    base = resolve("bert-tiny", weights="random").fingerprint
    assert resolve("bert-tiny").fingerprint == base  # why they are seeded does not matter
    assert resolve("bert-tiny", weights="random", seed=1).fingerprint != base
    assert resolve("bert-tiny", weights="random", num_layers=1).fingerprint != base
    assert resolve("bert-mini", weights="random").fingerprint != base


def test_short_name_is_the_bare_encoder_and_hub_id_has_its_head():
    assert resolve("bert-base", weights="random").task == "encoder"
    assert resolve("bert-base-uncased", weights="random").task == "masked-lm"


@pytest.mark.parametrize(
    ("model", "limit"), [("roberta-base", 512), ("bert-tiny", 512), ("distilbert", 512)]
)
def test_seq_len_over_the_maximum(model, limit):
    assert resolve(model, weights="random", seq_len=limit).name == model
    with pytest.raises(ConfigError, match=f"at most {limit} tokens"):
        resolve(model, weights="random", seq_len=limit + 1)


def test_number_of_layers():
    assert resolve("distilbert", weights="random", num_layers=2).config["n_layers"] == 2
    with pytest.raises(ConfigError, match="bert-tiny has 2"):
        resolve("bert-tiny", weights="random", num_layers=3)
    with pytest.raises(ConfigError, match="no layer count"):
        with_num_layers("resnet", {"model_type": "resnet", "depths": [1, 1]}, 1)
    before = load_presets()["bert-tiny"].config["num_hidden_layers"]
    resolve("bert-tiny", weights="random", num_layers=1)
    assert load_presets()["bert-tiny"].config["num_hidden_layers"] == before


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertForQuestionAnswering", "question-answering"),
        ("RobertaForTokenClassification", "token-classification"),
        ("BertForPreTraining", "encoder"),
        ("ViTForImageClassification", "image-classification"),
        ("DistilBertModel", "encoder"),
    ],
)
def test_task_follows_the_architecture(architecture, task):
    assert task_of(architecture).name == task


def test_text_generators_are_refused(tmp_path):
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 2}
    directory = make_checkpoint(tmp_path / "gpt2", config)
    with pytest.raises(FrontendError, match="only encoders"):
        resolve(directory)


def test_resolving_imports_no_framework():
    code = (
        "import sys\n"
        "from tvm_sparse.config.model import ModelSpec\n"
        "from tvm_sparse.sources.source import resolve_source\n"
        "resolve_source(ModelSpec('prunebert'))\n"
        "heavy = {'tensorflow', 'transformers', 'tvm', 'torch', 'keras'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
