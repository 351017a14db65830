"""Every preset's architecture in small, an image transformer and a small ResNet: their configs."""

from __future__ import annotations

from typing import Any

from tvm_sparse.sources.presets import load_presets

LAYERS = 2
# What makes a config small; only the keys it has are changed.
SMALL = {
    "dim": 32,
    "embedding_size": 16,
    "head_dim": 8,
    "hidden_dim": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "intra_bottleneck_size": 32,
    "max_position_embeddings": 24,
    "n_heads": 4,
    "n_layers": LAYERS,
    "num_attention_heads": 4,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": 2,
    "vocab_size": 120,
}
# Preset and task head, each of the heads at least once: bare, question answering, sequence and
# token classification, masked language model.
CASES = {
    "albert-base": "AlbertForMaskedLM",
    "bert-base": "BertModel",
    "bert-large": "BertForSequenceClassification",
    "bert-mini": "BertForTokenClassification",
    "bert-tiny": "BertForMaskedLM",
    "distilbert": "DistilBertForSequenceClassification",
    "electra-small": "ElectraForTokenClassification",
    "minilm-l6": "BertModel",
    "mobilebert": "MobileBertForMaskedLM",
    "mpnet-base": "MPNetModel",
    "prunebert": "BertForQuestionAnswering",
    "roberta-base": "RobertaForMaskedLM",
    "xlm-r-base": "XLMRobertaModel",
}
# Presets whose models come through PyTorch, of the transformers that is installed.
TORCH_CASES = ("deberta-v3-base", "modernbert-base", "qwen3-embedding")
VIT = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "image_size": 24,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
RESNET = {
    "model_type": "resnet",
    "architectures": ["ResNetForImageClassification"],
    "num_channels": 3,
    "image_size": 32,
    "embedding_size": 8,
    "hidden_sizes": [8, 16],
    "depths": [1, 2],
    "layer_type": "bottleneck",
}
XLM = {"emb_dim": 32, "n_layers": LAYERS, "n_heads": 4, "vocab_size": 120, "pad_index": 2}


def small_config(preset: str) -> dict[str, Any]:
    """The preset's config with its task head, small."""
    config = dict(load_presets()[preset].config)
    changes = {key: value for key, value in SMALL.items() if key in config}
    most = SMALL["vocab_size"]
    changes |= {k: 1 for k, v in config.items() if k.endswith("_token_id") and (v or 0) >= most}
    head = CASES.get(preset, load_presets()[preset].architecture)
    return {**config, **changes, "architectures": [head]}


#: What TensorFlow's classes, or a config read key by key, easily get wrong: cases by name.
VARIANTS = {
    "roberta-padding-0": {**small_config("roberta-base"), "pad_token_id": 0},
    "xlm-roberta-padding-3": {
        **small_config("roberta-base"),
        "model_type": "xlm-roberta",
        "architectures": ["XLMRobertaModel"],
        "pad_token_id": 3,
    },
    "bert-without-segments": {
        key: value for key, value in small_config("bert-base").items() if key != "type_vocab_size"
    },
    "xlm": {**XLM, "model_type": "xlm", "architectures": ["XLMModel"]},
    "flaubert": {**XLM, "model_type": "flaubert", "architectures": ["FlaubertModel"]},
}
