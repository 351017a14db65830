"""The distance of two models' outputs in PyTorch: the same as `training.tensorflow.losses`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LOGITS = ("logits", "start_logits", "end_logits")


def distance(student: Mapping[str, Any], teacher: Mapping[str, Any], mask: Any) -> Any:
    """Return the distance of two models' outputs by name, a scalar tensor.

    It is the mean of the hidden states' relative squared errors, layer by layer, plus one minus the
    cosine of mean-pooled embeddings, plus the Kullback-Leibler divergence of all logits. `mask`,
    int64 (batch, seq_len), is 1 where a token is: padding counts for nothing.
    """
    import torch
    from torch.nn import functional

    weights = mask.float()
    terms = []
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(_hidden(student), _hidden(teacher), strict=True)
        if theirs.shape[:2] == mask.shape  # a state for each token
    ]
    if pairs:
        errors = [_relative_error(mine, theirs, weights) for mine, theirs in pairs]
        terms.append(torch.stack(errors).mean())
        mine, theirs = (_pooled(hidden, weights) for hidden in pairs[-1])
        terms.append((1 - functional.cosine_similarity(mine, theirs, dim=-1)).mean())
    for name in _LOGITS:
        if student.get(name) is not None:
            terms.append(_divergence(name, student[name], teacher[name], weights))
    return torch.stack(terms).sum()


def _hidden(outputs: Mapping[str, Any]) -> list[Any]:
    """Return the outputs of all layers, without the embeddings, which are not trained."""
    states, last = list(outputs.get("hidden_states") or ())[1:], outputs.get("last_hidden_state")
    if last is None:
        return states
    # Some models list what their last layer gives, and norm it behind that (ModernBERT).
    return [*states[:-1], last]


def _relative_error(mine: Any, theirs: Any, weights: Any) -> Any:
    shares = weights[:, :, None]
    error = ((mine - theirs).square() * shares).sum()
    return error / (theirs.square() * shares).sum().clamp(min=1e-6)


def _pooled(hidden: Any, weights: Any) -> Any:
    total = (hidden * weights[:, :, None]).sum(dim=1)
    return total / weights.sum(dim=1, keepdim=True).clamp(min=1.0)


def _divergence(name: str, mine: Any, theirs: Any, weights: Any) -> Any:
    from torch.nn import functional

    if name != "logits":  # of answer spans: the classes are the tokens
        padding = (1 - weights) * -1e4
        mine, theirs = mine + padding, theirs + padding
    if mine.shape[-1] == 1:  # regression
        return (mine - theirs).square().mean()
    found, wanted = functional.log_softmax(mine, -1), functional.log_softmax(theirs, -1)
    each = (wanted.exp() * (wanted - found)).sum(dim=-1)
    return each.mean() if each.ndim == 1 else (each * weights).sum() / weights.sum()
