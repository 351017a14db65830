"""Small local models: a config.json as a directory, weights seeded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

BERT = {
    "model_type": "bert",
    "vocab_size": 96,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
VIT = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "image_size": 16,
    "patch_size": 8,
    "num_channels": 3,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
RESNET = {
    "model_type": "resnet",
    "architectures": ["ResNetForImageClassification"],
    "image_size": 32,
    "num_channels": 3,
    "embedding_size": 8,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "layer_type": "basic",
}
CONFIGS = {"bert": BERT, "vit": VIT, "resnet": RESNET}


@pytest.fixture
def config_dir(tmp_path):
    """Return a function that writes a small config, with changes, to a new directory."""

    def write(kind: str = "bert", **changes) -> Path:
        directory = tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}"
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps({**CONFIGS[kind], **changes}))
        return directory

    return write
