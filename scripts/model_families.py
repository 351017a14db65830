"""The families of models that `bench_models.py` measures, and an example of each."""

from __future__ import annotations

from typing import Any

_BASE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
_IMAGE = {**_BASE, "image_size": 224, "patch_size": 16}

#: By family: a preset, or the hub id of an example and what its `config.json` says beside the
#: defaults of its class.
FAMILIES: dict[str, str | tuple[str, dict[str, Any]]] = {
    "BERT": "bert-base",
    "RoBERTa": "roberta-base",
    "DistilBERT": "distilbert",
    "MPNet": "mpnet-base",
    "DeBERTa v3": "deberta-v3-base",
    "ModernBERT": "modernbert-base",
    "NomicBERT": "nomic-embed",
    "ViT": "vit-base",
    "MiniLM": "minilm-l6",
    "BGE": "bge-small",
    "E5": "e5-small",
    "ELECTRA": "electra-small",
    "ALBERT": "albert-base",
    "MobileBERT": "mobilebert",
    "XLM-RoBERTa": "xlm-r-base",
    "EuroBERT": (
        "EuroBERT/EuroBERT-210m",
        {"model_type": "eurobert", "architectures": ["EuroBertModel"], **_BASE},
    ),
    "GTE": (
        "Alibaba-NLP/gte-multilingual-base",
        {"model_type": "gte", "architectures": ["GteModel"], **_BASE},
    ),
    "T5 (encoder)": (
        "google-t5/t5-base",
        {
            "model_type": "t5",
            "architectures": ["T5EncoderModel"],
            "d_model": 768,
            "d_ff": 3072,
            "d_kv": 64,
            "num_layers": 12,
            "num_heads": 12,
        },
    ),
    "ConvBERT": (
        "YituTech/conv-bert-base",
        {"model_type": "convbert", "architectures": ["ConvBertModel"], **_BASE},
    ),
    "FNet": ("google/fnet-base", {"model_type": "fnet", "architectures": ["FNetModel"]}),
    "SigLIP (images)": (
        "google/siglip-base-patch16-224",
        {"model_type": "siglip_vision_model", "architectures": ["SiglipVisionModel"], **_IMAGE},
    ),
    "CLIP (images)": (
        "openai/clip-vit-base-patch16",
        {"model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"], **_IMAGE},
    ),
    "DeiT": (
        "facebook/deit-base-patch16-224",
        {"model_type": "deit", "architectures": ["DeiTModel"], **_IMAGE},
    ),
    "DINOv2": (
        "facebook/dinov2-base",
        {
            "model_type": "dinov2",
            "architectures": ["Dinov2Model"],
            **_IMAGE,
            "patch_size": 14,
        },
    ),
    "Swin": (
        "microsoft/swin-tiny-patch4-window7-224",
        {"model_type": "swin", "architectures": ["SwinModel"], "image_size": 224},
    ),
    "ConvNeXt": (
        "facebook/convnext-tiny-224",
        {"model_type": "convnext", "architectures": ["ConvNextModel"], "image_size": 224},
    ),
    "Qwen3 (embedding)": "qwen3-embedding",
}

#: By family: what the figures do not say, shown below the table.
NOTES: dict[str, str] = {
    "MPNet": "on two threads of the Zen 4 (cpu family 25) its pruned build took 9.7 ms in the "
    "first six rounds and 12.0 to 14.0 in the others: what a second thread gains "
    "changes within a run.",
    "ModernBERT": "on two threads the pruned build takes 73 % of its time on one on the Zen 5, in "
    "every round, and 55 % on the Zen 4. The cause on the Zen 5 was not found.",
    "DeBERTa v3": "attention with its relative positions, which no zeros in weights make shorter, "
    "takes 57 % of the pruned build (23 of 41 ms on an Intel Xeon, by kernel on one thread).",
    "FNet": "Fourier transforms, which nothing prunes, have 22 % of the operations: 19 % as "
    "products with constant matrices on token tiles, 3 % in what TVM generates.",
    "ViT": "attention of 197 tokens takes 35 % of the pruned build (Zen 5, kernel by kernel on one "
    "thread), at 222 GFLOP/s where multiply-adds alone reach 264; the product of the patches, "
    "which is not pruned, takes 5 %. Two threads cannot share its 13 registers of tokens evenly.",
    "ConvNeXt": "its depthwise convolutions are what TVM generates. ONNX Runtime's transformer "
    "optimiser leaves 5 of 9 means of the graph and changes what is computed: its session runs the "
    "graph as exported.",
}
