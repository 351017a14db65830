"""PyTorch through transformers: eager, and compiled."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.bench.peers.checkpoint import read_config
from tvm_sparse.bench.peers.engine import Inputs, PeerModel


def load(checkpoint: Path, threads: int, name: str) -> PeerModel:
    """Load a checkpoint; the name `torch-compile` runs it through `torch.compile`."""
    import torch

    torch.set_num_threads(threads)
    return _Module(load_model(checkpoint), compiled=name == "torch-compile")


def load_model(checkpoint: Path, attention: str | None = None) -> Any:
    """Return the torch module of a checkpoint, of the class its configuration names.

    With transformers' attention implementation of a name; its own choice by default.
    """
    os.environ.update(USE_TORCH="1", USE_TF="0")
    import transformers

    model_class = getattr(transformers, read_config(checkpoint)["architectures"][0])
    options = {"attn_implementation": attention} if attention else {}
    return model_class.from_pretrained(str(checkpoint), **options).eval()


def as_tensors(inputs: Inputs) -> dict[str, Any]:
    """Return inputs as tensors, integers with 64 bits."""
    import torch

    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    return {n: one if one.is_floating_point() else one.long() for n, one in tensors.items()}


class _Module(PeerModel):
    def __init__(self, model: Any, compiled: bool) -> None:
        import torch

        self._torch = torch
        self.facts = {"attention": str(model.config._attn_implementation)}
        if compiled:
            # Weights become constants, which the compiler packs for its products.
            inductor = importlib.import_module("torch._inductor.config")
            inductor.freezing = True  # type: ignore[attr-defined]
            self.facts["freezing"] = True
            model = torch.compile(model, dynamic=False)
        self._model = model

    def bind(self, inputs: Inputs) -> Callable[[], Any]:
        torch, model, values = self._torch, self._model, as_tensors(inputs)

        def call() -> Any:
            with torch.no_grad():
                return model(**values)

        return call

    def outputs(self, result: Any) -> dict[str, NDArray[Any]]:
        found = {key: value for key, value in result.items() if hasattr(value, "shape")}
        return {name: np.array(value.numpy()) for name, value in found.items()}
