"""A model's `config.json`: read with the types and within the bounds that a model can have.

transformers takes what it finds and fails far from the cause, or builds a billion layers. What is
not listed here passes: it is for the model's own class to judge.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from tvm_sparse.errors import CheckpointError
from tvm_sparse.records.read import check_types, read_json
from tvm_sparse.sources.checkpoint import WEIGHT_FILES
from tvm_sparse.sources.other_formats import find_other_weights

_Name = Annotated[str, Meta(min_length=1, max_length=200)]
#: The bounds are some ten times those of the largest models there are.
_Layers = Annotated[int, Meta(ge=1, le=1000)]
_Size = Annotated[int, Meta(ge=1, le=1 << 20)]
_Sizes = Annotated[list[_Size], Meta(min_length=1, max_length=1000)]
_Vocabulary = Annotated[int, Meta(ge=1, le=1 << 24)]
_Epsilon = Annotated[float, Meta(gt=0, le=1)]
_LabelId = Annotated[str, Meta(pattern=r"^\d{1,9}$")]


class _Config(TypedDict, total=False):
    """What is checked of a config.json; see transformers' configuration classes for the meaning."""

    model_type: _Name
    architectures: list[_Name] | None
    hidden_act: _Name
    vocab_size: _Vocabulary
    type_vocab_size: Annotated[int, Meta(ge=0, le=1 << 24)]
    max_position_embeddings: _Vocabulary | None
    pad_token_id: Annotated[int, Meta(ge=0, le=1 << 24)] | None
    id2label: dict[_LabelId, str | float | None] | None
    num_hidden_layers: _Layers
    n_layers: _Layers
    n_layer: _Layers
    num_layers: _Layers
    num_hidden_groups: _Layers
    hidden_size: _Size
    dim: _Size
    d_model: _Size
    n_embd: _Size
    emb_dim: _Size
    embedding_size: _Size
    true_hidden_size: _Size
    intermediate_size: _Size
    hidden_dim: _Size
    num_attention_heads: _Size | _Sizes
    n_heads: _Size
    n_head: _Size
    num_labels: _Size
    image_size: _Size | _Sizes
    patch_size: _Size | _Sizes
    num_channels: _Size
    hidden_sizes: _Sizes
    depths: _Sizes
    layer_norm_eps: _Epsilon


def load_config(directory: Path) -> dict[str, Any]:
    """Return the contents of a directory's `config.json`.

    Raises
    ------
    CheckpointError
        It is missing, is not a JSON object, names no `model_type`, or holds something that no
        model can have.
    """
    path = directory / "config.json"
    if not path.exists():
        # Weights that are read are not what is wrong.
        is_read = any((directory / name).is_file() for name in WEIGHT_FILES)
        held = "" if is_read else find_other_weights(directory)
        but = f", but {held}" if held else ""
        raise CheckpointError(
            f"directory {directory} has no config.json{but}: give a directory as "
            "`save_pretrained` writes it (config.json and model.safetensors or tf_model.h5)"
        )
    config = read_json(path, CheckpointError)
    if not isinstance(config, dict) or not config.get("model_type"):
        raise CheckpointError(f"{path} names no model_type: it is no model's config.json")
    check_types(config, _Config, str(path), CheckpointError)
    if config["model_type"] == "masked_bert":
        if config.get("pruning_method") == "magnitude":
            raise CheckpointError(
                f"{path} says pruning_method magnitude: such a model leaves out its least weights "
                "in every forward pass, and its files hold no mask: make the pruning permanent "
                "(movement-pruning's bertarize.py) and give that"
            )
        # Movement-pruning's classes are BERT's but for their masks, which `mask_scores` applies.
        named = [name.removeprefix("Masked") for name in config.get("architectures") or ()]
        config |= {"model_type": "bert", "architectures": named}
    return config
