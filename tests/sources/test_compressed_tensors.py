from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from source_checkpoints import CONFIG, make_checkpoint, resolve

from tvm_sparse.errors import CheckpointError
from tvm_sparse.sources.checkpoint import CheckpointFiles
from tvm_sparse.sources.weights import read_weights

pytestmark = pytest.mark.unit

#: As compressed-tensors writes it for weights of 8 bits and tokens that are rounded as they come.
COMPRESSION = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "global_compression_ratio": 1.3,
    "ignore": ["pooler.dense"],
    "kv_cache_scheme": None,
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "strategy": "channel",
                "dynamic": False,
                "observer": "minmax",
            },
            "input_activations": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "strategy": "token",
                "dynamic": True,
            },
            "output_activations": None,
        }
    },
}
NAME = "encoder.layer.0.output.dense.weight"
INTEGERS = np.array([[127, -128, 3, 0], [-5, 127, 1, 2]], np.int8)
SCALE = np.array([[0.5], [0.25]], np.float32)


def stored(tmp_path: Path, **tensors: np.ndarray) -> CheckpointFiles:
    path = tmp_path / "model.safetensors"
    save_file({name.replace("__", "."): value for name, value in tensors.items()}, path)
    return CheckpointFiles("safetensors", (path,))


def config(change=None) -> dict:
    compression = copy.deepcopy(COMPRESSION)
    if change is not None:
        change(compression)
    return {**CONFIG, "quantization_config": compression}


@pytest.mark.parametrize("scale", [SCALE, SCALE.ravel(), SCALE.astype(np.float16)])
def test_integers_times_their_steps(tmp_path, scale) -> None:
    files = stored(
        tmp_path,
        **{NAME: INTEGERS, f"{NAME}_scale": scale, f"{NAME}_zero_point": np.zeros((2, 1), np.int8)},
        pooler__weight=np.ones((2, 2), np.float32),
    )
    weights = read_weights(files, config())
    assert list(weights) == [NAME, "pooler.weight"]
    value = weights[NAME].read()
    assert value.dtype == np.float32
    np.testing.assert_array_equal(value, INTEGERS * SCALE)


@pytest.mark.parametrize(
    ("tensors", "fault"),
    [
        ({f"{NAME}_scale": SCALE}, "which is nothing: a matrix of I8 is needed"),
        ({NAME: INTEGERS.astype(np.float32), f"{NAME}_scale": SCALE}, "which is F32 of"),
        ({NAME: INTEGERS, f"{NAME}_scale": SCALE[:1]}, "scale for each of 2 outputs is needed"),
        (
            {NAME: INTEGERS, f"{NAME}_scale": SCALE, f"{NAME}_zero_point": np.ones(2, np.int8)},
            "symmetric around zero",
        ),
        ({NAME: INTEGERS}, "is stored as I8: quantised weights are not read"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, tensors, fault) -> None:
    with pytest.raises(CheckpointError, match=fault):
        read_weights(stored(tmp_path, **tensors), config())


def group(compression: dict) -> dict:
    return compression["config_groups"]["group_0"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda c: c.update(format="pack-quantized"), "format pack-quantized"),
        (lambda c: c.update(config_groups={}), "no groups of layers"),
        (lambda c: group(c)["weights"].update(num_bits=4), "weights of another kind"),
        (lambda c: group(c)["weights"].update(strategy="group"), "weights of another kind"),
        (lambda c: group(c)["input_activations"].update(dynamic=False), "activations of another"),
        (lambda c: group(c).update(input_activations=None), "activations of another kind"),
        (lambda c: group(c).update(output_activations={"num_bits": 8}), "rounded outputs"),
        (lambda c: c.update(sparsity_config={"format": "sparse-24"}), "zeros packed as sparse-24"),
        (lambda c: group(c).update(weights=7), "quantization_config: config_groups"),
    ],
)
def test_other_compressions_are_refused_in_a_line(tmp_path, change, fault) -> None:
    directory = make_checkpoint(tmp_path / "model", config(change))
    with pytest.raises(CheckpointError, match=fault) as found:
        resolve(directory)
    assert "\n" not in str(found.value)


def test_a_compression_that_is_read_is_a_source(tmp_path) -> None:
    source = resolve(make_checkpoint(tmp_path / "model", config()))
    assert source.kind == "checkpoint"
