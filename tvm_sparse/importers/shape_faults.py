"""Say why tensors of a checkpoint have other shapes than the model that its config describes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ShapeFault:
    """A tensor, its shape in the checkpoint, and the shape the model needs."""

    name: str
    found: tuple[int, ...]
    wanted: tuple[int, ...]

    def __str__(self) -> str:
        found, wanted = ("x".join(map(str, s)) or "a scalar" for s in (self.found, self.wanted))
        return f"{self.name} is {found} in the checkpoint and {wanted} in the model"


#: What in config.json decides a shape, by the tensor's name; the first that is found counts.
_CAUSES = (
    (r"word_embeddings|vocab|decoder\.(weight|bias)|predictions\.bias", "vocab_size"),
    (r"position_embeddings", "max_position_embeddings"),
    (r"token_type_embeddings", "type_vocab_size"),
    (r"classifier|qa_outputs|out_proj|logits", "num_labels (or id2label)"),
)
_HEADS = r"query|key|value|attention[./]output[./]dense|[qkv]_lin|out_lin|attn[./][qkvo]\b"
_FEED_FORWARD = r"intermediate[./]dense|output[./]dense|lin[12]|ffn"


def describe_faults(faults: Sequence[ShapeFault]) -> str:
    """Return one line: the first fault, how many there are, and what most likely caused them.

    Parameters
    ----------
    faults : sequence of ShapeFault
        At least one, in the order of the model.
    """
    more = f" (and {len(faults) - 1} more tensors)" if len(faults) > 1 else ""
    return f"{faults[0]}{more}: {_cause(faults)}"


def _cause(faults: Sequence[ShapeFault]) -> str:
    first = faults[0]
    if all(f.found == f.wanted[::-1] for f in faults):
        return "it is stored transposed; save the weights as PyTorch's layers have them"
    named = next((key for pattern, key in _CAUSES if re.search(pattern, first.name)), None)
    if named:
        return f"config.json gives another {named} than the weights were trained with"
    # Of tensors that lie in encoder layers, those that are as wide as the model elsewhere.
    if all(re.search(_HEADS, f.name) for f in faults):
        return (
            "attention heads were removed (pruned_heads), which is not imported: keep the heads, "
            "with zeros for their weights"
        )
    if all(re.search(f"{_HEADS}|{_FEED_FORWARD}", f.name) for f in faults):
        widths = {max(f.found) for f in faults if re.search(_FEED_FORWARD, f.name)}
        if len(widths) > 1 or any(re.search(_HEADS, f.name) for f in faults):
            return (
                "its layers have different widths, as structured pruning (CoFi) leaves them, which "
                "is not imported: keep the widths, with zeros for what was removed"
            )
        return "config.json gives another intermediate_size than the weights were trained with"
    return "config.json describes another model than the weights are of"
