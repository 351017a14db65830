from __future__ import annotations

import json

import pytest
from config_dirs import CONFIGS

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import CheckpointError, ConfigError
from tvm_sparse.sources.architecture import check_size
from tvm_sparse.sources.config_file import load_config
from tvm_sparse.sources.presets import load_presets
from tvm_sparse.sources.source import resolve_source

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "config",
    [*CONFIGS.values(), *(preset.config for preset in load_presets().values())],
    ids=[*CONFIGS, *load_presets()],
)
def test_configs_of_models_are_read_as_they_are(config, tmp_path):
    config = {**config, "id2label": {"0": "A", "1": None}, "architectures": None, "of mine": [1]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_config(tmp_path) == config


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("architectures", 5, "Expected array | null, got int"),
        ("architectures", [5], "architectures[0]: Expected str, got int"),
        ("max_position_embeddings", "x", "Expected int | null, got str"),
        ("model_type", [1], "Expected str, got array"),
        ("hidden_act", None, "Expected str, got null"),
        ("pad_token_id", -1, "Expected int >= 0, got -1"),
        ("num_hidden_layers", 10**9, "Expected int <= 1000, got 1000000000"),
        ("num_hidden_layers", 0, "Expected int >= 1, got 0"),
        ("num_hidden_layers", -1, "Expected int >= 1, got -1"),
        ("num_hidden_layers", "2", "Expected int, got str"),
        ("num_hidden_layers", True, "Expected int, got bool"),
        ("id2label", [1], "Expected object | null, got array"),
        ("id2label", {"x": "y"}, "Expected str matching regex"),
        ("hidden_size", 2**40, "Expected int <= 1048576, got 1099511627776"),
        ("vocab_size", 10**400, "a number in it has more than 64 bits"),
        ("image_size", [], "Expected array of length >= 1"),
        ("layer_norm_eps", float("nan"), "is not valid JSON"),
        ("max_position_embeddings", float("inf"), "is not valid JSON"),
    ],
)
def test_what_no_model_has_is_refused_by_name(name, value, reason, config_dir):
    directory = config_dir("bert", **{name: value})
    with pytest.raises(CheckpointError) as caught:
        load_config(directory)
    message = str(caught.value)
    assert message.startswith(str(directory / "config.json"))
    assert reason in message
    assert name in message or "JSON" in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_brackets_without_end(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="nested too deeply"):
        load_config(tmp_path)


def test_what_memory_cannot_hold_is_refused_before_it_is_made(config_dir):
    layers = {"num_hidden_layers": 1000, "hidden_size": 2**20, "intermediate_size": 2**20}
    with pytest.raises(ConfigError, match=r"the weights that config.json of .* describes take"):
        resolve_source(ModelSpec(str(config_dir(**layers)), weights="random"))
    with pytest.raises(ConfigError, match="batch 100000000000 x seq-len 9 given: a layer returns"):
        resolve_source(ModelSpec(str(config_dir()), weights="random", batch=10**11, seq_len=9))
    check_size("bert", load_config(config_dir()), 1, 128)
