"""The weights of a checkpoint, however they are spelled in its files."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from tvm_sparse.errors import CheckpointError
from tvm_sparse.sources.checkpoint import CheckpointFiles
from tvm_sparse.sources.weights import read_weights

pytestmark = pytest.mark.unit

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def read(tmp_path, tensors) -> dict[str, np.ndarray]:
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    weights = read_weights(CheckpointFiles("safetensors", (path,)), {})
    assert all(weight.name == name for name, weight in weights.items())
    assert all(weight.read().shape == weight.shape for weight in weights.values())
    return {name: weight.read() for name, weight in weights.items()}


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("bert.pooler.dense.weight", "bert.pooler.dense.weight"),
        ("module.bert.pooler.dense.weight", "bert.pooler.dense.weight"),
        ("_orig_mod.module.bert.pooler.dense.weight", "bert.pooler.dense.weight"),
        ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
        ("bert.embeddings.LayerNorm.beta", "bert.embeddings.LayerNorm.bias"),
        ("bert/pooler/dense/kernel:0", "bert/pooler/dense/kernel"),
    ],
)
def test_names(tmp_path, stored, name):
    (found,) = read(tmp_path, {stored: VALUES}).items()
    assert found[0] == name
    np.testing.assert_array_equal(found[1], VALUES)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_weight_and_its_mask_are_multiplied(tmp_path, dtype):
    mask = np.array([[1, 0, 1], [0, 0, 1]], dtype)
    tensors = {"a.weight_orig": VALUES + 1, "a.weight_mask": mask, "attention_mask": VALUES}
    found = read(tmp_path, tensors)
    assert sorted(found) == ["a.weight", "attention_mask"]
    np.testing.assert_array_equal(found["a.weight"], (VALUES + 1) * mask)
    with pytest.raises(CheckpointError, match=r"a\.weight_orig is 2x3 and a\.weight_mask 1x3"):
        read(tmp_path, {**tensors, "a.weight_mask": mask[:1]})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("encoder.layer.0.attention.self.query.lora_A.default.weight", "LoRA"),
        ("encoder.layer.0.attention.self.query.weight_scale", "scales of quantised weights"),
        ("encoder.layer.0.attention.self.query.weight.absmax", "scales of quantised weights"),
        ("encoder.layer.0.attention.self.query.SCB", "scales of quantised weights"),
    ],
)
def test_weights_that_do_not_mean_what_they_say_are_refused(tmp_path, name, message):
    with pytest.raises(CheckpointError, match=f"{message}.*{name}"):
        read(tmp_path, {name: VALUES, "encoder.layer.0.attention.self.query.weight": VALUES})


@pytest.mark.parametrize("dtype", ["I8", "U8", "F8_E4M3"])
def test_quantised_dtypes_are_refused(tmp_path, dtype):
    path = tmp_path / "model.safetensors"
    entries = {
        "a.position_ids": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
        "a.weight": {"dtype": dtype, "shape": [4], "data_offsets": [4, 8]},
    }
    header = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(CheckpointError, match=f"a.weight in .* is stored as {dtype}: quantised"):
        read_weights(CheckpointFiles("safetensors", (path,)), {})


@pytest.mark.parametrize("shard", [False, True])
def test_hdf5(tmp_path, shard):
    import h5py

    path = tmp_path / "tf_model.h5"
    with h5py.File(path, "w") as file:
        if shard:
            file["bert/pooler/dense/kernel:0"] = VALUES
        else:
            group = file.create_group("bert")
            group.attrs["weight_names"] = [b"tf_bert_model/bert/pooler/dense/kernel:0"]
            group["tf_bert_model/bert/pooler/dense/kernel:0"] = VALUES
    (weight,) = read_weights(CheckpointFiles("h5", (path,)), {}).values()
    assert (weight.name, weight.shape) == ("bert/pooler/dense/kernel", (2, 3))
    np.testing.assert_array_equal(weight.read(), VALUES)
