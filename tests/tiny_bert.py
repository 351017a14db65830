"""Checkpoints of a very small BERT with a tokenizer, and texts for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
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
