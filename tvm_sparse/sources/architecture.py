"""What a model's `config.json` says about it: its class, its limits, its layers, its size."""

from __future__ import annotations

from typing import Any

from tvm_sparse.errors import ConfigError
from tvm_sparse.host import memory_bytes

# Families whose first token has the position after that of padding, `pad_token_id`.
_AFTER_PADDING = (
    "camembert",
    "esm",
    "longformer",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
)

_LAYER_KEYS = ("num_hidden_layers", "n_layers", "n_layer")


def architecture_of(config: dict[str, Any]) -> str:
    """Return the class of transformers a config names, without the leading TF; "Model" if none."""
    named = config.get("architectures") or []
    return str(named[0]).removeprefix("TF") if named else "Model"


def max_seq_len(config: dict[str, Any]) -> int | None:
    """Return the longest sequence in tokens that a config allows, None when there is no limit."""
    limit = config.get("max_position_embeddings")
    if limit is None:
        return None
    return int(limit) - first_position(config)


def first_position(config: dict[str, Any]) -> int:
    """Return the position of a sequence's first token, which costs so many of the maximum.

    Raises
    ------
    ConfigError
        The model counts positions from its padding, and has none.
    """
    model_type = config.get("model_type")
    if model_type == "mpnet":  # whatever its config says
        return 2
    if model_type not in _AFTER_PADDING:
        return 0
    padding = config.get("pad_token_id", 1)
    if padding is None:
        raise ConfigError(
            f"config.json has pad_token_id null: {model_type} counts positions from it, "
            "give the id of padding"
        )
    return int(padding) + 1


def check_texts(name: str, config: dict[str, Any], seq_len: int) -> None:
    """Refuse a padding that the vocabulary lacks and texts that are too long.

    Raises
    ------
    ConfigError
        `pad_token_id` is no id, or `seq_len` is over the model's maximum.
    """
    padding, vocab_size = config.get("pad_token_id"), config.get("vocab_size")
    if padding is not None and vocab_size is not None and not 0 <= padding < vocab_size:
        raise ConfigError(
            f"config.json of {name} has pad_token_id {padding}: its vocabulary has the ids 0 to "
            f"{vocab_size - 1}"
        )
    limit = max_seq_len(config)
    if limit is not None and seq_len > limit:
        raise ConfigError(
            f"seq-len {seq_len} given: {name} takes at most {limit} tokens, use --seq-len {limit} "
            "or less"
        )


def num_layers_of(config: dict[str, Any]) -> int | None:
    """Return the number of encoder layers in a config, None where it has no such count."""
    key = next((key for key in _LAYER_KEYS if key in config), None)
    return None if key is None else int(config[key])


def with_num_layers(name: str, config: dict[str, Any], num_layers: int | None) -> dict[str, Any]:
    """Return a copy of `config` that keeps the first `num_layers` layers (None keeps all).

    Raises
    ------
    ConfigError
        The model has fewer layers, or no layer count.
    """
    if num_layers is None:
        return dict(config)
    key = next((key for key in _LAYER_KEYS if key in config), None)
    if key is None:
        raise ConfigError(f"layers {num_layers} given: {name} has no layer count to change")
    if num_layers > int(config[key]):
        raise ConfigError(f"layers {num_layers} given: {name} has {config[key]}, use at most that")
    return {**config, key: num_layers}


def check_input(name: str, config: dict[str, Any], task: str, batch: int, seq_len: int) -> None:
    """Refuse an input that a model does not take, or that this machine's memory cannot hold.

    Raises
    ------
    ConfigError
        From `check_texts` and `check_size`.
    """
    if task != "image-classification":
        check_texts(name, config, seq_len)
    check_size(name, config, batch, seq_len)


def check_size(name: str, config: dict[str, Any], batch: int, seq_len: int) -> None:
    """Refuse what this machine's memory cannot hold, before anything of it is made.

    Raises
    ------
    ConfigError
        The weights, or what one layer of the model returns, are larger than the memory.
    """
    memory = memory_bytes()
    weights = 4 * estimate_weights(config)
    layer = 4 * batch * seq_len * _width(config)
    for size, what, advice in (
        (weights, f"the weights that config.json of {name} describes take", "--layers"),
        (layer, f"batch {batch} x seq-len {seq_len} given: a layer returns", "--batch"),
    ):
        if size > memory:
            raise ConfigError(
                f"{what} {size / 1e9:.0f} GB, this machine has {memory / 1e9:.0f} GB: "
                f"use a smaller {advice}"
            )


def estimate_weights(config: dict[str, Any]) -> int:
    """Return about how many weights a transformer has, from its `config.json`."""
    hidden = _width(config)
    inner = _number(config, 4 * hidden, "intermediate_size", "hidden_dim", "ffn_dim")
    layers = _number(config, 12, "num_hidden_layers", "n_layers", "num_layers")
    embedding = _number(config, hidden, "embedding_size")
    words = _number(config, 0, "vocab_size") + _number(config, 0, "max_position_embeddings")
    return words * embedding + layers * (4 * hidden * hidden + 2 * hidden * inner)


def _width(config: dict[str, Any]) -> int:
    return _number(config, 768, "hidden_size", "dim", "d_model", "n_embd", "emb_dim")


def _number(config: dict[str, Any], default: int, *names: str) -> int:
    return next((config[name] for name in names if isinstance(config.get(name), int)), default)
