"""A checkpoint of floats and one of integers, looked at and built in 8 bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_bert import CONFIG, TEXTS, bert_tensors, write_checkpoint

from tvm_sparse.api.builds import compile
from tvm_sparse.api.models import load_model, sparsify
from tvm_sparse.api.quantization import quantize
from tvm_sparse.bench.output_error import output_errors
from tvm_sparse.errors import ConfigError
from tvm_sparse.host import detect_host
from tvm_sparse.model.model import Model
from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.metadata import load_metadata

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(detect_host().isa == "aarch64", reason="no products of integers there"),
]

SHAPE = {"batch": 2, "seq_len": 16, "num_layers": 1}
COMPRESSION = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "config_groups": {
        "group_0": {
            "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"},
            "input_activations": {
                "num_bits": 8,
                "type": "int",
                "strategy": "token",
                "dynamic": True,
            },
        }
    },
}
TARGET = "x86-64-v3"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("quantize")


@pytest.fixture(scope="module")
def model(root) -> Model:
    directory = write_checkpoint(root / "floats", bert_tensors(CONFIG), CONFIG)
    return load_model(directory, cache_dir=root / "cache", **SHAPE)


def error_of(model: Model) -> tuple[float, list]:
    builds = compile(model, builds=("dense", "int8"), threads=1)
    inputs = model.reference.inputs
    dense, rounded = (load(builds.directories[name], 1).run(**inputs) for name in ("dense", "int8"))
    error = next(iter(output_errors(rounded, dense, inputs).values()))
    return error.relative_l2, list(load_metadata(builds.directories["int8"]).decisions)


def test_texts_smooth_and_a_budget_keeps(root, model) -> None:
    texts = root / "texts.txt"
    texts.write_text("\n".join(TEXTS))
    plain, decisions = error_of(model)
    assert {d.dtype for d in decisions if "encoder" in d.weight} == {"int8"}
    assert all(d.int8_error is None for d in decisions)
    smooth = quantize(model, calibration=str(texts), threads=1)
    found = smooth.quantization
    assert found.factors.keys() == found.errors.keys()
    query, key = (
        f"bert/encoder/layer_._0/attention/self/{name}/kernel" for name in ("query", "key")
    )
    assert found.factors[query] is found.factors[key]
    with_factors, decisions = error_of(smooth)
    assert 0 < with_factors < 1.5 * plain
    limit = float(np.median(list(found.errors.values())))
    tight = quantize(model, calibration=str(texts), max_error=limit, threads=1)
    with_floats, decisions = error_of(tight)
    assert with_floats < with_factors
    kept = {d.weight for d in decisions if "is over" in d.dtype_reason}
    assert kept >= {name for name, error in found.errors.items() if error > limit}
    assert {d.dtype for d in decisions if d.weight in kept} == {"float32"}


def test_integers_of_a_checkpoint_are_run_as_they_are_or_it_is_said(root, model) -> None:
    tensors = bert_tensors(CONFIG)
    rng = np.random.default_rng(0)
    for name, value in list(tensors.items()):
        if value.ndim == 2 and name.startswith("encoder"):
            integers = rng.integers(-40, 41, value.shape).astype(np.int8)
            # The inputs after a row's largest are its smallest: pairs of sums stay below 128.
            integers[:, 0], integers[:, 1:4] = 127, 0
            if "intermediate" in name:
                integers[:, :4] = 127
            scale = np.abs(value).max(axis=1, keepdims=True) / 127
            tensors[name], tensors[f"{name}_scale"] = integers, scale.astype(np.float32)
    config = {**CONFIG, "quantization_config": COMPRESSION}
    directory = write_checkpoint(root / "integers", tensors, config)
    loaded = load_model(directory, cache_dir=root / "cache", **SHAPE)
    found = quantize(loaded, target=TARGET).quantization
    inner = "bert/encoder/layer_._0/intermediate/dense/kernel"
    assert list(found.wide) == [inner]
    assert "in 16 bits: 64 of 64 rows have no room" in found.wide[inner]
    assert set(found.notes.values()) == {"its integers are as stored"}
    # Columns of blocks that are put together may bring the largest beside any other.
    narrow = sparsify(loaded, prune="none", block_shape=(4, 1))
    in_blocks = quantize(narrow, target=TARGET).quantization
    assert in_blocks.wide.keys() == found.wide.keys() | found.notes.keys()
    anew = quantize(loaded, target=TARGET, rescale=True).quantization
    assert not anew.wide
    assert anew.notes[inner] == "64 of 64 rows are rounded anew"
    with pytest.raises(ConfigError, match="comes quantised"):
        quantize(loaded, calibration="built-in")
    error, decisions = error_of(replace(loaded, quantization=found))
    assert error < 0.05
    told = {d.weight: (d.dtype, d.dtype_reason) for d in decisions}
    assert told[inner] == ("int16", found.wide[inner])
