import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tvm_sparse.errors import CheckpointError
from tvm_sparse.pruning.changed_tensors import changed_names, find_changed
from tvm_sparse.pruning.tensor_file import stored_tensors

pytestmark = pytest.mark.unit
RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((6, 4)).astype(np.float32)
#: As imported: two layer norms that are alike, a bias, and a head's kernel (K, N).
PARAMS = {
    "bert/encoder/layer_._0/attention/output/LayerNorm/gamma": np.ones(4, np.float32),
    "bert/encoder/layer_._0/output/LayerNorm/gamma": np.ones(4, np.float32),
    "bert/encoder/layer_._0/output/dense/bias": np.arange(4, dtype=np.float32),
    "classifier/kernel": KERNEL,
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(
        {
            "encoder.layer.0.output.LayerNorm.weight": np.ones(4, np.float32),
            "encoder.layer.0.attention.output.LayerNorm.weight": np.ones(4, np.float32),
            "encoder.layer.0.output.dense.bias": np.arange(4, dtype=np.float32),
            "classifier.weight": np.ascontiguousarray(KERNEL.T),
        },
        path,
    )
    return path


def test_weights_that_changed():
    new = {**PARAMS, "classifier/kernel": KERNEL * 2}
    new["bert/encoder/layer_._0/output/dense/bias"] = np.arange(4, dtype=np.float32)  # a copy
    assert changed_names(PARAMS, new, ()) == ["classifier/kernel"]
    assert changed_names(PARAMS, new, {"classifier/kernel"}) == []


def test_each_weight_goes_where_it_came_from(file):
    found = find_changed(stored_tensors(file), PARAMS, list(PARAMS))
    for i, (name, (tensor, transposed)) in enumerate(found.items()):
        assert transposed == (name == "classifier/kernel")
        new = PARAMS[name] * 0 + i
        tensor.write(new.T if transposed else new, file)
    written = load_file(file)
    assert {name: float(value.max()) for name, value in written.items()} == {
        "encoder.layer.0.attention.output.LayerNorm.weight": 0,
        "encoder.layer.0.output.LayerNorm.weight": 1,
        "encoder.layer.0.output.dense.bias": 2,
        "classifier.weight": 3,
    }


def test_a_checkpoint_of_other_values_is_refused(file):
    other = {"bert/encoder/layer_._0/output/dense/bias": np.ones(4, np.float32) * 7}
    with pytest.raises(CheckpointError, match=r"looked for bert.*dense\.bias of shape 4"):
        find_changed(stored_tensors(file), other, list(other))
