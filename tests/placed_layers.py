"""Layers and modules with the places that the importer tells from their names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace

import tvm

from tvm_sparse.importers.layer_places import find_places
from tvm_sparse.ir.functions import with_places
from tvm_sparse.model.layer import Layer


def placed(layers: Iterable[Layer]) -> list[Layer]:
    layers = list(layers)
    places = find_places(layer.canonical_name for layer in layers)
    return [replace(layer, **asdict(places[layer.canonical_name])) for layer in layers]


def imported(mod: tvm.IRModule) -> tvm.IRModule:
    """A module of `main` alone, as if it were imported."""
    main = mod["main"]
    return tvm.IRModule({"main": with_places(main, find_places(var.name for var in main.params))})
