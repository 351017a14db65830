"""A model's weights as a directory that transformers loads, in PyTorch and in TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tvm_sparse.model.facts import ModelDescription
from tvm_sparse.model.names import torch_weights
from tvm_sparse.records.write import write_json

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def write_torch_checkpoint(
    directory: Path, description: ModelDescription, params: Mapping[str, NDArray[Any]]
) -> None:
    """Write `config.json` and `model.safetensors` with PyTorch's names.

    `params` are all weights as imported, with TensorFlow's names and order of axes. The directory
    is made if it is missing.
    """
    from safetensors.numpy import save_file

    config = {**description.config, "architectures": [description.architecture]}
    write_json(directory / CONFIG_FILE, config)
    weights = torch_weights(params, description.architecture)
    save_file(weights, directory / WEIGHTS_FILE, metadata={"format": "pt"})
