"""Presets: complete, self-consistent, and accepted by transformers."""

from __future__ import annotations

import re

import pytest

from tvm_sparse.sources.architecture import max_seq_len, num_layers_of
from tvm_sparse.sources.presets import find_preset, load_presets, preset_names
from tvm_sparse.tasks.registry import task_of

pytestmark = pytest.mark.unit

NAMES = [
    "albert-base",
    "bert-base",
    "bert-large",
    "bert-mini",
    "bert-tiny",
    "bge-small",
    "deberta-v3-base",
    "distilbert",
    "e5-small",
    "electra-small",
    "minilm-l6",
    "mobilebert",
    "modernbert-base",
    "mpnet-base",
    "nomic-embed",
    "prunebert",
    "qwen3-embedding",
    "roberta-base",
    "vit-base",
    "xlm-r-base",
]
#: Tokens of those that take other numbers than 512; None of one that takes images.
LIMITS = {
    "modernbert-base": 8192,
    "nomic-embed": 2048,
    "qwen3-embedding": 32768,
    "vit-base": None,
}


def test_all_presets_are_there_and_listed():
    assert list(load_presets()) == NAMES
    assert preset_names() == ", ".join(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_config_facts_are_complete(name):
    preset = load_presets()[name]
    config = preset.config
    assert preset.hub_id.count("/") == 1
    assert re.sub("[-_]", "", config["model_type"]) in preset.architecture.lower()
    assert config["architectures"]
    assert num_layers_of(config) >= 2
    assert max_seq_len(config) == LIMITS.get(name, 512)
    assert config["image_size"] if name == "vit-base" else config["vocab_size"] >= 30000
    width = config.get("hidden_size", config.get("dim"))
    assert width % config.get("num_attention_heads", config.get("n_heads")) == 0


# Layers, width, feed-forward width, heads as the papers state them.
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("prunebert", (12, 768, 3072, 12)),
        ("bert-large", (24, 1024, 4096, 16)),
        ("bert-mini", (4, 256, 1024, 4)),
        ("bert-tiny", (2, 128, 512, 2)),
        ("electra-small", (12, 256, 1024, 4)),
        ("mobilebert", (24, 512, 512, 4)),
        ("minilm-l6", (6, 384, 1536, 12)),
        ("bge-small", (12, 384, 1536, 12)),
        ("deberta-v3-base", (12, 768, 3072, 12)),
        ("modernbert-base", (22, 768, 1152, 12)),
        ("qwen3-embedding", (28, 1024, 3072, 16)),
    ],
)
def test_sizes(name, shape):
    config = load_presets()[name].config
    keys = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
    assert tuple(config[key] for key in keys) == shape


def test_prunebert_answers_questions_and_is_pruned():
    preset = find_preset("huggingface/prunebert-base-uncased-6-finepruned-w-distil-squad")
    assert preset.name == "prunebert"
    assert task_of(preset.architecture).name == "question-answering"
    assert preset.element_sparsity == 0.95


def test_lookup_by_alias_and_by_no_name():
    assert find_preset("bert-base-uncased").name == "bert-base"
    assert find_preset("bert-huge") is None
