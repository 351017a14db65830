"""Tensors of a checkpoint are found by name and value, whoever wrote the file."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tvm_sparse.errors import CheckpointError
from tvm_sparse.model.names import torch_value
from tvm_sparse.pruning.find_tensors import changed_names, find_tensors
from tvm_sparse.sources.stored_tensors import stored_tensors

pytestmark = pytest.mark.unit
RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((6, 4)).astype(np.float32)
SQUARE = RNG.standard_normal((4, 4)).astype(np.float32)
IMAGE = RNG.standard_normal((2, 2, 3, 5)).astype(np.float32)
KEY = "bert/encoder/layer_._0/attention/self/key/kernel"
#: As imported: two layer norms that are alike, a bias, kernels (K, N) and (height, width, in, out).
PARAMS = {
    "bert/encoder/layer_._0/attention/output/LayerNorm/gamma": np.ones(4, np.float32),
    "bert/encoder/layer_._0/output/LayerNorm/gamma": np.ones(4, np.float32),
    "bert/encoder/layer_._0/output/dense/bias": np.arange(4, dtype=np.float32),
    "classifier/kernel": KERNEL,
    "vit/embeddings/projection/kernel": IMAGE,
}
NORM, OTHER_NORM, BIAS, CLASSIFIER, PROJECTION = PARAMS
#: What PyTorch calls them in a bare encoder; old checkpoints say gamma.
TORCH = {
    "encoder.layer.0.output.LayerNorm.weight": OTHER_NORM,
    "encoder.layer.0.attention.output.LayerNorm.gamma": NORM,
    "encoder.layer.0.output.dense.bias": BIAS,
    "classifier.weight": CLASSIFIER,
    "embeddings.projection.weight": PROJECTION,
}


def test_weights_that_changed():
    new = {**PARAMS, "classifier/kernel": KERNEL * 2}
    new["bert/encoder/layer_._0/output/dense/bias"] = np.arange(4, dtype=np.float32)  # a copy
    assert changed_names(PARAMS, new) == ["classifier/kernel"]


@pytest.mark.parametrize("names", [TORCH, {f"{name}:0": name for name in PARAMS}])
def test_each_weight_goes_where_it_came_from(names, tmp_path):
    path = tmp_path / "model.safetensors"
    form = torch_value if names is TORCH else lambda name, value: value
    save_file({own: form(name, PARAMS[name]) for own, name in names.items()}, path)
    for found in find_tensors(stored_tensors(path), PARAMS, list(PARAMS)):
        new = PARAMS[found.weight] + list(PARAMS).index(found.weight)
        found.tensor.write(found.stored(new), path)
    written = load_file(path)
    for own, name in names.items():
        wanted = form(name, PARAMS[name] + list(PARAMS).index(name))
        np.testing.assert_array_equal(written[own], wanted, err_msg=own)


def test_weights_that_are_stored_as_one(tmp_path):
    """As NomicBERT has queries, keys and values on the hub."""
    path = tmp_path / "model.safetensors"
    params = {f"layers/{n}/kernel": RNG.standard_normal((3, 4)).astype("float32") for n in "qkv"}
    whole = np.ascontiguousarray(np.concatenate([value.T for value in params.values()]))
    save_file({"layers.Wqkv.weight": whole, "other": np.zeros((4, 5), np.float32)}, path)
    for found in find_tensors(stored_tensors(path), params, list(params)[1:]):
        found.tensor.write(found.stored(params[found.weight] * 2), path)
    scales = np.repeat([1, 2, 2], 4)[:, np.newaxis]
    np.testing.assert_array_equal(load_file(path)["layers.Wqkv.weight"], whole * scales)


@pytest.mark.parametrize("turned", [True, False])
def test_a_square_weight_is_found_in_either_orientation(turned, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"key.weight": np.ascontiguousarray(SQUARE.T if turned else SQUARE)}, path)
    (found,) = find_tensors(stored_tensors(path), {KEY: SQUARE}, [KEY])
    assert found.turned is turned


def test_of_equal_tensors_the_one_of_the_right_name_is_taken(tmp_path):
    path = tmp_path / "model.safetensors"
    same = np.ones((4, 4), np.float32)
    names = [
        f"encoder.layer.{i}.attention.self.{n}.weight" for n in ("query", "key") for i in (1, 0)
    ]
    save_file(dict.fromkeys(names, same), path)
    (found,) = find_tensors(stored_tensors(path), {KEY: same}, [KEY])
    assert found.tensor.name == "encoder.layer.0.attention.self.key.weight"


def test_a_checkpoint_of_other_values_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({name: torch_value(own, PARAMS[own]) for name, own in TORCH.items()}, path)
    other = {"classifier/kernel": KERNEL * 7}
    with pytest.raises(CheckpointError, match=r"looked for classifier\.weight of shape 4x6"):
        find_tensors(stored_tensors(path), other, list(other))
