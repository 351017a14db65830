"""Which layers are rounded to 8 bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tvm_sparse.model.layer import Layer

#: Roles of what stands before and behind an encoder.
_AROUND = ("embedding", "pooler", "head")


def refusal(layer: Layer) -> str:
    """Return why a layer stays float32 whatever its values are; empty if it may be rounded.

    What comes after the encoder is a small part of the time, and the answer itself.
    """
    if layer.obstacle:
        return layer.obstacle
    if layer.kind != "dense":
        return f"{layer.kind}s are not rounded"
    return f"it is a layer of the {layer.role}" if layer.role in _AROUND else ""


def kept_layers(layers: Iterable[Layer], kept: Mapping[str, str]) -> dict[str, str]:
    """Return why layers stay float32, by canonical name; those that are rounded are not in it.

    Parameters
    ----------
    layers : iterable of Layer
        All dense layers of a model.
    kept : mapping of str to str
        Reasons that were found before, by canonical name.
    """
    reasons = {
        layer.canonical_name: kept.get(layer.canonical_name) or refusal(layer) for layer in layers
    }
    return {name: reason for name, reason in reasons.items() if reason}
