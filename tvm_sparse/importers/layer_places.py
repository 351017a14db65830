"""What a layer is for and where it stands, from the name of its weight.

TensorFlow's names and PyTorch's come from the same classes, and modules have both in one form.
This is the only place that reads meaning out of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tvm_sparse.model.layer import Place, Role
from tvm_sparse.model.names import torch_name

#: Encoder layers, by numbered parts of a name; the first pattern that is found counts.
_BLOCKS = tuple(
    re.compile(rf"(?:^|/){pattern}/")
    for pattern in (
        r"albert_layer_groups_\._(\d+)/albert_layers_\._(\d+)",  # ALBERT
        r"stages\.(\d+)/layers\.(\d+)",  # ResNet, ConvNeXt
        r"stages_\._(\d+)/layers_\._(\d+)",  # the same in PyTorch
        r"layers_\._(\d+)/blocks_\._(\d+)",  # Swin
        r"\w*_\._(\d+)",  # BERT and most others: layer_._0
    )
)
#: Ends of a layer's path within its block, the longest that fits counts.
_ROLES: dict[str, Role] = {
    # BERT, RoBERTa, ELECTRA, MobileBERT, ViT
    "query": "query",
    "key": "key",
    "value": "value",
    "attention/output/dense": "attention_output",
    "intermediate/dense": "intermediate",
    "output/dense": "output",
    # ALBERT
    "attention/dense": "attention_output",
    "ffn": "intermediate",
    "ffn_output": "output",
    # DeBERTa, Longformer's kin
    "query_proj": "query",
    "key_proj": "key",
    "value_proj": "value",
    # ModernBERT, which has query, key and value in one; both halves of a gated unit are one too
    "attn/Wo": "attention_output",
    "mlp/Wi": "intermediate",
    "mlp/Wo": "output",
    # CLIP, SigLIP, Llama, Qwen, EuroBERT
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "o_proj": "attention_output",
    "out_proj": "attention_output",
    "fc1": "intermediate",
    "fc2": "output",
    "gate_proj": "intermediate",
    "up_proj": "intermediate",
    "down_proj": "output",
    # T5
    "SelfAttention/q": "query",
    "SelfAttention/k": "key",
    "SelfAttention/v": "value",
    "SelfAttention/o": "attention_output",
    "DenseReluDense/wi": "intermediate",
    "DenseReluDense/wi_0": "intermediate",
    "DenseReluDense/wi_1": "intermediate",
    "DenseReluDense/wo": "output",
    # MobileBERT's way into and out of its narrow layers
    "bottleneck/dense": "other",
    "bottleneck/attention/dense": "other",
    "bottleneck/input/dense": "other",
    # DistilBERT
    "q_lin": "query",
    "k_lin": "key",
    "v_lin": "value",
    "out_lin": "attention_output",
    "lin1": "intermediate",
    "lin2": "output",
    # MPNet
    "attn/q": "query",
    "attn/k": "key",
    "attn/v": "value",
    "attn/o": "attention_output",
}
#: Parts of a name that mark a head.
_HEADS = frozenset({
    "classifier", "cls", "discriminator_predictions", "generator_lm_head",
    "generator_predictions", "lm_head", "logits_proj", "mlm", "nsp", "pre_classifier",
    "predictions", "qa_outputs", "seq_relationship", "sequence_summary", "sop_classifier",
    "vocab_layer_norm", "vocab_projector", "vocab_transform",
})  # fmt: skip


def find_places(names: Iterable[str], architecture: str = "") -> dict[str, Place]:
    """Say of each of a model's weights what it is for and in which encoder layer it stands.

    Parameters
    ----------
    names : iterable of str
        As modules have them, e.g. `bert/encoder/layer_._0/attention/self/query/kernel`.
    architecture : str
        Class of the model, which PyTorch's names depend on, as `torch_name` takes it.

    Returns
    -------
    dict of str to Place
        By name. Encoder layers are numbered in the order of the numbers in their names.
    """
    matches = {name: _block_match(name) for name in names}
    numbers = {name: tuple(map(int, match.groups())) for name, match in matches.items() if match}
    order = {number: block for block, number in enumerate(sorted(set(numbers.values())))}
    return {
        name: Place(
            _role(name, match),
            order.get(numbers.get(name, ())),
            torch_name(name, architecture),
        )
        for name, match in matches.items()
    }


def _block_match(name: str) -> re.Match[str] | None:
    return next((match for pattern in _BLOCKS if (match := pattern.search(name))), None)


def _role(name: str, block: re.Match[str] | None) -> Role:
    layer = name.rpartition("/")[0]
    parts = {part.partition("_._")[0] for part in re.split(r"/|___", layer)}
    if any(part.startswith("embedding") for part in parts):
        return "embedding"
    if "pooler" in parts:
        return "pooler"
    if not _HEADS.isdisjoint(parts):
        return "head"
    if block is None:
        return "other"
    path = layer[block.end() - 1 :]
    ends = [end for end in _ROLES if path.endswith(f"/{end}")]
    return _ROLES[max(ends, key=len)] if ends else "other"
