#!/usr/bin/env python3
"""Import small models of many families through PyTorch, compile them, and compare with PyTorch.

python scripts/check_torch_models.py [--only NAME]... [--batch N] [--seq-len N] [--shapes]

A line a model: the largest difference over the largest value, how many dense layers may run sparse.
With --shapes models of texts are imported for any batch and length, and compared at many shapes,
and sequences of different lengths in one run with each alone. Exits with 1 if one is refused or
differs by more than 1e-4.
"""

from __future__ import annotations

import json
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.torch_free import without_torch

_MOST = 1e-4
_TEXT = {
    "vocab_size": 1000,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "max_position_embeddings": 64,
}
_IMAGE = {**{k: _TEXT[k] for k in list(_TEXT)[1:5]}, "image_size": 64}
_DEBERTA = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
_SMALL_IDS = dict.fromkeys(("pad_token_id", "eos_token_id", "bos_token_id"), 1)
_SPECIAL = {**_SMALL_IDS, "cls_token_id": 1, "sep_token_id": 2}
#: By name: class, and what its config.json says.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "ALBERT": ("AlbertModel", {"model_type": "albert", "embedding_size": 64, **_TEXT}),
    "BEiT": ("BeitModel", {"model_type": "beit", **_IMAGE}),
    "BERT": ("BertModel", {"model_type": "bert", **_TEXT}),
    "CamemBERT": ("CamembertModel", {"model_type": "camembert", "pad_token_id": 1, **_TEXT}),
    "CLIP (images)": (
        "CLIPVisionModel",
        {"model_type": "clip_vision_model", **_IMAGE, "patch_size": 16},
    ),
    "CLIP (texts)": ("CLIPTextModel", {"model_type": "clip_text_model", **_SMALL_IDS, **_TEXT}),
    "ConvBERT": ("ConvBertModel", {"model_type": "convbert", "embedding_size": 128, **_TEXT}),
    "ConvNeXt": (
        "ConvNextModel",
        {"model_type": "convnext", "hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 2, 1],
         "image_size": 64},
    ),
    "DeBERTa": ("DebertaModel", {"model_type": "deberta", **_DEBERTA, **_TEXT}),
    "DeBERTa v2, v3": (
        "DebertaV2Model",
        {"model_type": "deberta-v2", "position_buckets": 16, "norm_rel_ebd": "layer_norm",
         "share_att_key": True, **_DEBERTA, **_TEXT},
    ),
    "DeiT": ("DeiTForImageClassification", {"model_type": "deit", **_IMAGE}),
    "DINOv2": (
        "Dinov2Model", {"model_type": "dinov2", **_IMAGE, "image_size": 56, "patch_size": 14}
    ),
    "DistilBERT": (
        "DistilBertForSequenceClassification",
        {"model_type": "distilbert", "vocab_size": 1000, "dim": 128, "hidden_dim": 256,
         "n_layers": 2, "n_heads": 4},
    ),
    "ELECTRA": ("ElectraModel", {"model_type": "electra", "embedding_size": 64, **_TEXT}),
    "ESM": (
        "EsmModel",
        {"model_type": "esm", "pad_token_id": 1, "mask_token_id": 4,
         "position_embedding_type": "rotary", **_TEXT},
    ),
    "FNet": ("FNetModel", {"model_type": "fnet", **_TEXT}),
    "GPT-2 (as an encoder)": (
        "GPT2Model",
        {"model_type": "gpt2", "vocab_size": 1000, "n_embd": 128, "n_layer": 2, "n_head": 4,
         "n_positions": 64},
    ),
    "I-BERT": ("IBertModel", {"model_type": "ibert", "pad_token_id": 1, **_TEXT}),
    "Llama (as an encoder)": (
        "LlamaModel", {"model_type": "llama", "num_key_value_heads": 2, **_TEXT}
    ),
    "MobileBERT": (
        "MobileBertModel",
        {"model_type": "mobilebert", "embedding_size": 64, "intra_bottleneck_size": 64,
         "true_hidden_size": 64, **_TEXT},
    ),
    "MobileNet v1": (
        "MobileNetV1ForImageClassification",
        {"model_type": "mobilenet_v1", "depth_multiplier": 0.5, "image_size": 64},
    ),
    "MobileNet v2": (
        "MobileNetV2ForImageClassification",
        {"model_type": "mobilenet_v2", "depth_multiplier": 0.5, "image_size": 64},
    ),
    "ModernBERT": (
        "ModernBertModel",
        {"model_type": "modernbert", "local_attention": 16, "global_attn_every_n_layers": 2,
         **_SPECIAL, **_TEXT},
    ),
    "MPNet": ("MPNetModel", {"model_type": "mpnet", **_TEXT}),
    "Nystromformer": (
        "NystromformerModel",
        {"model_type": "nystromformer", "segment_means_seq_len": 32, "num_landmarks": 32, **_TEXT},
    ),
    "PoolFormer": (
        "PoolFormerModel", {"model_type": "poolformer", "image_size": 64, "depths": [1, 1, 1, 1]}
    ),
    "Qwen3 (as an encoder)": (
        "Qwen3Model",
        {"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 32, **_TEXT},
    ),
    "RegNet": (
        "RegNetModel",
        {"model_type": "regnet", "embedding_size": 32, "hidden_sizes": [32, 64, 96, 128],
         "depths": [1, 1, 1, 1], "groups_width": 16, "image_size": 64},
    ),
    "RemBERT": (
        "RemBertModel",
        {"model_type": "rembert", "input_embedding_size": 64, "output_embedding_size": 64, **_TEXT},
    ),
    "ResNet": (
        "ResNetForImageClassification",
        {"model_type": "resnet", "hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 1, 1],
         "embedding_size": 32, "image_size": 64},
    ),
    "RoBERTa": ("RobertaModel", {"model_type": "roberta", "pad_token_id": 1, **_TEXT}),
    "RoFormer": ("RoFormerModel", {"model_type": "roformer", **_TEXT}),
    "SegFormer": ("SegformerModel", {"model_type": "segformer", "image_size": 64}),
    "SigLIP (images)": (
        "SiglipVisionModel",
        {"model_type": "siglip_vision_model", **_IMAGE, "patch_size": 16},
    ),
    "SqueezeBERT": (
        "SqueezeBertModel", {"model_type": "squeezebert", "embedding_size": 128, **_TEXT}
    ),
    "Swin": (
        "SwinModel",
        {"model_type": "swin", "embed_dim": 32, "depths": [2, 2], "num_heads": [2, 4],
         "image_size": 112},
    ),
    "T5 (encoder)": (
        "T5EncoderModel",
        {"model_type": "t5", "vocab_size": 1000, "d_model": 128, "d_kv": 32, "d_ff": 256,
         "num_layers": 2, "num_heads": 4},
    ),
    "ViT": ("ViTForImageClassification", {"model_type": "vit", **_IMAGE}),
    "XLM-RoBERTa": (
        "XLMRobertaForTokenClassification",
        {"model_type": "xlm-roberta", "pad_token_id": 1, **_TEXT},
    ),
    "XLNet": (
        "XLNetModel",
        {"model_type": "xlnet", "vocab_size": 1000, "d_model": 128, "n_layer": 2, "n_head": 4,
         "d_inner": 256},
    ),
}  # fmt: skip
#: Those of transformers 5 alone, for an environment that has it and no TensorFlow.
NEWER: dict[str, tuple[str, dict[str, Any]]] = {
    "EuroBERT": (
        "EuroBertModel", {"model_type": "eurobert", "mask_token_id": 4, **_SMALL_IDS, **_TEXT}
    ),
    "GTE": ("GteModel", {"model_type": "gte", **_TEXT}),
    "Jina v3": ("JinaEmbeddingsV3Model", {"model_type": "jina_embeddings_v3", **_TEXT}),
    "NomicBERT": ("NomicBertModel", {"model_type": "nomic_bert", **_TEXT}),
}  # fmt: skip
if int(version("transformers").partition(".")[0]) > 4:
    MODELS |= NEWER


@click.command(help=__doc__)
@click.option("--only", multiple=True, metavar="NAME", help="Only models with this in their name.")
@click.option("--batch", default=2, show_default=True, metavar="N")
@click.option("--seq-len", default=32, show_default=True, metavar="N")
@click.option("--shapes", is_flag=True, help="Any batch and length, compared at many shapes.")
def main(only: tuple[str, ...], batch: int, seq_len: int, shapes: bool) -> None:
    """Check all models and say what came out."""
    chosen = [n for n in MODELS if not only or any(o.lower() in n.lower() for o in only)]
    if shapes:
        chosen = [n for n in chosen if "image_size" not in MODELS[n][1]]
    check = _check_shapes if shapes else lambda name: _check(name, batch, seq_len)
    failed = [name for name in chosen if not check(name)]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(chosen)} not right: {', '.join(failed)}")


@without_torch()
def _check(name: str, batch: int, seq_len: int) -> bool:
    from tvm_sparse.compiler.compile import compile_model
    from tvm_sparse.config.compile import CompileSpec
    from tvm_sparse.config.model import ModelSpec
    from tvm_sparse.importers.contract import verify
    from tvm_sparse.importers.torch.importer import import_model
    from tvm_sparse.progress import silent
    from tvm_sparse.sources.source import resolve_source

    architecture, config = MODELS[name]
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            document = {**config, "architectures": [architecture]}
            Path(folder, "config.json").write_text(json.dumps(document))
            spec = ModelSpec(folder, "random", batch, seq_len, importer="torch", micro_batch=batch)
            imported = import_model(spec, resolve_source(spec), silent)
        verify(imported, "torch")
        build = compile_model(imported.mod, imported.params, CompileSpec())
    except TvmSparseError as error:
        click.echo(f"{name:24} refused: {error}")
        return False
    return told(name, imported, build, start)


@without_torch()
def _check_shapes(name: str) -> bool:
    from any_shape import MOST, told_at_every_shape

    from tvm_sparse.config.model import ModelSpec
    from tvm_sparse.importers.contract import verify
    from tvm_sparse.importers.torch.importer import import_model
    from tvm_sparse.progress import silent
    from tvm_sparse.sources.source import resolve_source

    architecture, config = MODELS[name]
    # RoBERTa and MPNet count positions from 2 on.
    longer = {
        key: MOST[1] + 2 for key in ("max_position_embeddings", "n_positions") if key in config
    }
    document = {**config, **longer, "architectures": [architecture]}
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text(json.dumps(document))

            def at(batch: int, seq_len: int, is_open: bool = False) -> Any:
                spec = ModelSpec(
                    folder, "random", batch, seq_len, importer="torch", is_open=is_open
                )
                return import_model(spec, resolve_source(spec), silent)

            imported = at(*MOST, is_open=True)
            verify(imported, "torch")
            return told_at_every_shape(name, imported, at, start)
    except TvmSparseError as error:
        click.echo(f"{name:24} refused: {error}")
        return False


def told(label: str, imported: Any, build: Any, start: float) -> bool:
    """Print how far a build is from its framework, and what may run sparse; return if it is right.

    Parameters
    ----------
    label : str
        What the line begins with.
    imported, build : Imported, Build
        The model.
    start : float
        When it was begun, as `time.monotonic` says it.
    """
    from tvm_sparse.compiler.reference_check import _run
    from tvm_sparse.ir.dense_layers import dense_layers
    from tvm_sparse.sparsity.layers import select_layers

    (results,) = _run(build, [imported.input_values], 1)
    gap = max(
        float(np.abs(result - wanted).max() / np.abs(wanted).max())
        for result, wanted in zip(results, imported.output_values.values(), strict=True)
    )
    refusals = select_layers(dense_layers(imported.mod, imported.params))
    eligible = sum(not reason for reason in refusals.values())
    layers = f"{eligible} of {len(refusals)} dense layers may run sparse"
    click.echo(f"{label:36} {gap:.1e}  {layers}  ({time.monotonic() - start:.0f} s)")
    return gap < _MOST


if __name__ == "__main__":
    main()
