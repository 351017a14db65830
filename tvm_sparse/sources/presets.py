"""The models known by a short name: their hub ids and the facts of their `config.json`.

One file per preset in `preset_configs/`. A checkpoint that was only pretrained (masked language
modelling and the like) is a bare encoder under its short name, because its head is a training
device; its hub id or a local directory gives it the head its own config names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Preset:
    """A model known by name.

    Parameters
    ----------
    name : str
        Short name, as `--model` takes it.
    hub_id : str
        Where its checkpoint lives on the Hugging Face hub.
    aliases : tuple of str
        Other hub ids of the same checkpoint.
    architecture : str
        Class of transformers (without the leading TF) that the short name builds.
    config : dict
        Facts of the checkpoint's `config.json`.
    element_sparsity : float or None
        Fraction of zeros in the encoder's dense weights of a checkpoint that comes pruned.
    """

    name: str
    hub_id: str
    aliases: tuple[str, ...]
    architecture: str
    config: dict[str, Any]
    element_sparsity: float | None = None


@cache
def load_presets() -> dict[str, Preset]:
    """Return all presets by name, in alphabetical order."""
    presets = {}
    directory = resources.files("tvm_sparse.sources") / "preset_configs"
    for file in sorted(directory.iterdir(), key=lambda entry: entry.name):
        name, _, suffix = file.name.rpartition(".")
        if suffix == "json":
            facts = json.loads(file.read_text(encoding="utf-8"))
            presets[name] = Preset(name, **{**facts, "aliases": tuple(facts["aliases"])})
    return presets


def find_preset(model: str) -> Preset | None:
    """Return the preset whose name, hub id or alias is `model`, or None."""
    presets = load_presets()
    if model in presets:
        return presets[model]
    return next((p for p in presets.values() if model in (p.hub_id, *p.aliases)), None)


def preset_names() -> str:
    """Return the names of all presets as one comma-separated text for messages."""
    return ", ".join(load_presets())
