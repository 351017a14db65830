"""Tensors are changed in place, whatever their dtype, orientation and shard."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_pruning import example_report
from made_models import make_model
from safetensors.numpy import load_file, save_file

from tvm_sparse.errors import CheckpointError, ConfigError
from tvm_sparse.pruning.report import PruningReport
from tvm_sparse.pruning.write_checkpoint import (
    check_output,
    check_saves,
    check_source,
    write_checkpoint,
)
from tvm_sparse.records.read import read_record
from tvm_sparse.sources.stored_tensors import stored_tensors

pytestmark = pytest.mark.unit

QUERY = "bert/encoder/layer_._0/attention/self/query/kernel"
KEY = "bert/encoder/layer_._0/attention/self/key/kernel"
REPORT = example_report()
RNG = np.random.default_rng(0)
# Values that float16 holds exactly.
PARAMS = {
    QUERY: RNG.integers(1, 9, (4, 8)).astype(np.float32) / 8,
    KEY: RNG.integers(1, 9, (4, 4)).astype(np.float32) / 8,
}
PRUNED = {name: np.where(values > 0.5, values * 0.5, 0.0) for name, values in PARAMS.items()}


def tensors(dtype=np.float32) -> dict[str, np.ndarray]:
    return {
        "encoder.layer.0.attention.self.query.weight": PARAMS[QUERY].T.astype(dtype),
        "encoder.layer.0.attention.self.key.weight": PARAMS[KEY].T.astype(dtype),
        "encoder.layer.0.attention.self.key.bias": np.arange(4, dtype=dtype),
        "embeddings.position_ids": np.arange(6),
    }


def contiguous(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(value) for name, value in values.items()}


def checkpoint(directory: Path, dtype=np.float32) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    save_file(contiguous(tensors(dtype)), directory / "model.safetensors", {"format": "pt"})
    return directory


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_only_the_pruned_tensors_change(tmp_path, dtype):
    source = checkpoint(tmp_path / "source", dtype)
    before = (source / "model.safetensors").read_bytes()
    out = write_checkpoint(source, tmp_path / "out", PARAMS, PRUNED, REPORT)
    old, new = load_file(source / "model.safetensors"), load_file(out / "model.safetensors")
    for name, values in old.items():
        expected = values
        if name.endswith("query.weight"):
            expected = PRUNED[QUERY].T
        elif name.endswith("key.weight"):
            expected = PRUNED[KEY].T
        np.testing.assert_array_equal(new[name], expected, err_msg=name)
        assert new[name].dtype == values.dtype
    assert (source / "model.safetensors").read_bytes() == before
    report = read_record(out / "pruning.json", PruningReport, ConfigError, "")
    assert report == replace(REPORT, files=("README.md", "config.json", "model.safetensors"))
    # The header, metadata included, is the same.
    length = struct.unpack("<Q", before[:8])[0]
    assert (out / "model.safetensors").read_bytes()[: 8 + length] == before[: 8 + length]


@pytest.mark.parametrize("card", [None, "---\nlicense: mit\n---\n# Tiny\n\nThe best.\n"])
def test_the_model_card_says_what_was_done(tmp_path, card):
    source = checkpoint(tmp_path / "source")
    if card is not None:
        (source / "README.md").write_text(card)
    out = write_checkpoint(source, tmp_path / "out", PARAMS, PRUNED, REPORT)
    begun, _, added = (out / "README.md").read_text().partition("\n## Pruning\n")
    assert begun == ("# tiny, pruned\n" if card is None else card)
    assert "tvm_sparse 0.1.0 pruned tiny" in added
    assert "- method: second-order, on text.txt: 8 passages" in added
    assert "- blocks: 4x1" in added
    assert "50.0% of the elements" in added


def test_bfloat16_is_rounded_to_nearest(tmp_path):
    values = np.array([[1.0, -2.0], [0.0, 0.15625]], np.float32)
    path = tmp_path / "model.safetensors"
    entry = {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}
    header = json.dumps({"w": entry}).encode()
    raw = (values.view(np.uint32) >> 16).astype("<u2")
    path.write_bytes(struct.pack("<Q", len(header)) + header + raw.tobytes())
    (tensor,) = stored_tensors(path)
    np.testing.assert_array_equal(tensor.read(), values)
    # Halfway between two neighbours goes to the even one; a little more goes up.
    step = 2.0**-7
    tensor.write(
        np.array([[0.0, 1 + step / 2], [1 + 1.5 * step, 1 + step * 0.51]], np.float32), path
    )
    np.testing.assert_array_equal(tensor.read(), [[0.0, 1.0], [1 + 2 * step, 1 + step]])


def test_a_value_too_large_for_the_dtype_is_refused(tmp_path):
    source = checkpoint(tmp_path / "source", np.float16)
    large = {**PRUNED, KEY: np.full((4, 4), 1e6, np.float32)}
    with pytest.raises(CheckpointError, match="does not fit F16"):
        write_checkpoint(source, tmp_path / "out", PARAMS, large, REPORT)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("part", ["weight_orig", "mask_scores"])
def test_weights_in_two_parts_are_refused_before_the_work(tmp_path, part):
    name = f"encoder.layer.0.attention.self.query.{part}"
    save_file({name: np.ones((2, 2), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"holds {name}.*made permanent"):
        check_source(tmp_path)


def test_what_cannot_be_written_is_told_before_the_work(tmp_path):
    model = make_model({})
    check_saves(model)  # seeded weights are written by name
    onnx = replace(model.facts, spec=model.spec.with_(model="model.onnx"))
    with pytest.raises(ConfigError, match=r"is an ONNX file.*prune --onnx"):
        check_saves(replace(model, facts=onnx))
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    weights = replace(model.facts.weights, kind="checkpoint", source=str(tmp_path))
    with pytest.raises(CheckpointError, match=r"holds pytorch_model\.bin: model\.safetensors is"):
        check_saves(replace(model, facts=replace(model.facts, weights=weights)))


def test_shards(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    parts = list(contiguous(tensors()).items())
    save_file(dict(parts[:1]), source / "model-1.safetensors")
    save_file(dict(parts[1:]), source / "model-2.safetensors")
    index = {name: f"model-{1 if i < 1 else 2}.safetensors" for i, (name, _) in enumerate(parts)}
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (source / "pytorch_model.bin.index.json").write_text("{}")
    out = write_checkpoint(source, tmp_path / "out", PARAMS, PRUNED, REPORT)
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "model-1.safetensors",
        "model-2.safetensors",
        "model.safetensors.index.json",
        "pruning.json",
    ]
    query = load_file(out / "model-1.safetensors")["encoder.layer.0.attention.self.query.weight"]
    np.testing.assert_array_equal(query, PRUNED[QUERY].T)


def test_what_is_in_the_way(tmp_path):
    check_output(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("")
    with pytest.raises(ConfigError, match=r"holds other files .*thesis.txt"):
        check_output(foreign)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is no directory"):
        check_output(tmp_path / "file")
    (foreign / "pruning.json").write_text("not ours")
    with pytest.raises(ConfigError, match=r"holds other files .*thesis.txt"):
        check_output(foreign)


def test_a_failed_replacement_leaves_the_older_result(tmp_path):
    source = checkpoint(tmp_path / "source")
    out = write_checkpoint(source, tmp_path / "out", PARAMS, PRUNED, REPORT)
    other = {**PARAMS, KEY: PARAMS[KEY] + 1}
    with pytest.raises(CheckpointError, match="no tensor of the checkpoint holds the weight"):
        write_checkpoint(source, out, other, PRUNED, replace(REPORT, model="other"))
    assert json.loads((out / "pruning.json").read_text())["model"] == REPORT.model
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_hdf5_weights_are_refused_with_the_way_out(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "tf_model.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    with pytest.raises(CheckpointError, match=r"holds tf_model.h5: model.safetensors is needed"):
        write_checkpoint(source, tmp_path / "out", PARAMS, PRUNED, REPORT)
