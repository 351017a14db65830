"""An imported model's weights and inputs as the directory that every other engine reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import BuildError
from tvm_sparse.model.model import Model
from tvm_sparse.model.torch_checkpoint import CONFIG_FILE, write_torch_checkpoint
from tvm_sparse.records.read import read_json

INPUTS_FILE = "inputs.npz"


def write_checkpoint(directory: Path, model: Model) -> Path:
    """Write weights, configuration and inputs, and return the directory, made if it is missing.

    The model's reference inputs fix the static shapes of engines that need them.
    """
    write_torch_checkpoint(directory, model.facts, model.params)
    np.savez(directory / INPUTS_FILE, **dict(model.reference.inputs))  # type: ignore[arg-type]
    return directory


def read_config(directory: Path) -> dict[str, Any]:
    """Return the configuration in a checkpoint directory."""
    config: dict[str, Any] = read_json(directory / CONFIG_FILE, BuildError)
    return config


def read_inputs(directory: Path) -> dict[str, NDArray[Any]]:
    """Return the inputs in a checkpoint directory by name."""
    with np.load(directory / INPUTS_FILE, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
