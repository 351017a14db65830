"""Models that are no artifacts yet."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import write_config as write_model
from serving_process import serving

from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.serve.check import check_config
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.config_file import read_config
from tvm_sparse.serve.exported import arguments, is_to_be_exported
from tvm_sparse.serve.model_config import ExportConfig, ModelConfig


@pytest.mark.e2e
def test_a_checkpoint_is_exported_and_served(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    export = {"seq_len": "1:16", "batch": "1:2", "sparsity": 0.5, "select": "threshold"}
    models = [{"name": "tiny", "model": "tiny", "export": export}]
    cache = {"TVM_SPARSE_CACHE": str(tmp_path / "cache")}
    ids = {"name": "input_ids", "datatype": "INT32", "shape": [1, 3], "data": [1, 2, 3]}
    with serving(tmp_path, {"models": models}, **cache) as one:
        status, answer = one.ask("/v2/models/tiny/infer", {"inputs": [ids]})
        assert status == 200, answer
        assert answer["outputs"][0]["shape"] == [1, 3, 32]
        assert any("compiling" in line for line in one.lines)
    # The second time it is there.
    with serving(tmp_path, {"models": models}, **cache) as one:
        assert one.ask("/v2/models/tiny/infer", {"inputs": [ids]}) == (200, answer)
        assert not any("compiling" in line for line in one.lines)


@pytest.mark.unit
def test_what_is_exported(tmp_path: Path, artifacts) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "empty").mkdir()
    shutil.copytree(artifacts["encoder"], tmp_path / "build")
    found = {
        name: is_to_be_exported(ModelConfig("a", model, export=export))
        for name, model, export in [
            ("checkpoint", str(tmp_path / "model"), None),
            ("empty", str(tmp_path / "empty"), None),
            ("artifact", str(tmp_path / "build"), None),
            ("artifact that says how", str(tmp_path / "build"), ExportConfig()),
            ("preset", "bert-tiny", None),
            ("hub id", "someone/model", ExportConfig()),
            ("a name that is wrong", "builds/squda", None),
        ]
    }
    assert [name for name, yes in found.items() if yes] == ["checkpoint", "preset", "hub id"]
    lines = check_config(ServeConfig((ModelConfig("a", "bert-tiny"),)))
    assert lines == ["a: bert-tiny, to be exported first"]


@pytest.mark.unit
def test_how_it_is_exported(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    start = "models: [{name: a, model: b, export: "
    path.write_text(start + "{sparsity: 0.9, bs_r: 16, seq_len: 128}}]")
    export = read_config(path)[0].models[0].export
    wanted = "--seq-len 128 --batch 1:32 --sparsity 0.9 --bs-r 16 --build sparse"
    assert " ".join(arguments(export)) == wanted
    assert arguments(ExportConfig())[-2:] == ["--prune", "none"]
    rounded = arguments(ExportConfig(quantize="int8", int8_error=0.05))
    assert rounded[-6:-2] == ["--quantize", "int8", "--int8-error", "0.05"]
    assert arguments(ExportConfig(quantize="int8", rescale=True))[-3] == "--rescale"
    path.write_text(start + "{int8_error: 0.1}}]")
    with pytest.raises(ConfigError, match=r"models\[0\].export.int8_error given without quantize"):
        check_config(read_config(path)[0])
    path.write_text(start + "{quantize: int8, calibration: nowhere.txt}}]")
    with pytest.raises(InputError, match=r"nowhere.txt cannot be read"):
        check_config(read_config(path)[0])
    path.write_text(start + "{sparsity: 2}}]")
    with pytest.raises(ConfigError, match=r"models\[0\].export.sparsity: Expected float <= 1"):
        read_config(path)
