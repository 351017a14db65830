"""A very small BERT with a tokenizer: checkpoints, and imports that the tests share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

WORDS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "the", "red", "blue", "green", "bird", "fish"),
    *("house", "tree", "sees", "likes", "eats", "old", "new", "small", "large", "##s", "##ing"),
)
CONFIG = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 32,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
TEXTS = [
    *("the red bird sees a tree", "a small fish eats", "the old house likes the new house"),
    *("a blue bird", "large trees", "the green fish sees the red fish", "a tree eats a tree"),
    *("old birds", "the bird likes the small blue fish", "new house", "a a a", "the fish"),
]


def bert_tensors(config: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Return seeded weights of a BertModel, named as PyTorch's transformers do."""
    rng = np.random.default_rng(seed)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
        "embeddings.LayerNorm": (hidden,),
        "pooler.dense": (hidden, hidden),
    }
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{layer}.attention.{name}"] = (hidden, hidden)
        shapes[f"{layer}.attention.output.LayerNorm"] = (hidden,)
        shapes[f"{layer}.intermediate.dense"] = (inner, hidden)
        shapes[f"{layer}.output.dense"] = (hidden, inner)
        shapes[f"{layer}.output.LayerNorm"] = (hidden,)
    tensors = {}
    for name, shape in shapes.items():
        if name.endswith(".weight"):
            tensors[name] = rng.normal(0, 0.5, shape).astype(np.float32)
            continue
        scale = rng.normal(0, 0.3, shape) if len(shape) == 2 else 1 + rng.normal(0, 0.05, shape)
        tensors[f"{name}.weight"] = scale.astype(np.float32)
        tensors[f"{name}.bias"] = rng.normal(0, 0.05, shape[0]).astype(np.float32)
    return tensors


def write_checkpoint(directory: Path, tensors: dict[str, np.ndarray], config: dict) -> Path:
    """Write config, vocabulary and weights."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def dense_dir(tiny_root) -> Path:
    return write_checkpoint(tiny_root / "dense", bert_tensors(CONFIG), CONFIG)


@pytest.fixture(scope="session")
def pruned_dir(tiny_root) -> Path:
    """The same weights, every second one of the encoder's matrices zero."""
    tensors = bert_tensors(CONFIG)
    for name, value in tensors.items():
        if value.ndim == 2 and name.startswith("encoder"):
            value[np.abs(value) < np.median(np.abs(value))] = 0
    return write_checkpoint(tiny_root / "pruned", tensors, CONFIG)


@pytest.fixture(scope="session")
def shared_cache(tiny_root) -> Path:
    """A cache for all tests of this room: an import takes seconds."""
    return tiny_root / "cache"


@pytest.fixture(scope="session")
def text_file(tiny_root) -> Path:
    path = tiny_root / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


@pytest.fixture(scope="session")
def dense_side(dense_dir, shared_cache):
    """The dense model, imported and compiled once."""
    from tvm_sparse.config import CompileSpec
    from tvm_sparse.fidelity.sides import open_side

    return open_side(str(dense_dir), 4, 16, CompileSpec(threads=1), shared_cache)
