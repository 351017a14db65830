"""An imported model's weights and inputs as the directory that every other engine reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import BuildError
from tvm_sparse.model.model import Model
from tvm_sparse.model.torch_checkpoint import CONFIG_FILE, write_torch_checkpoint
from tvm_sparse.progress import Progress, silent
from tvm_sparse.records.read import read_json
from tvm_sparse.records.write import write_json
from tvm_sparse.sources.onnx_file import ONNX_ENDING
from tvm_sparse.sources.source import resolve_source

INPUTS_FILE, MODEL_FILE = "inputs.npz", "model.onnx"


def write_checkpoint(directory: Path, model: Model, progress: Progress = silent) -> Path:
    """Write weights, configuration and inputs, and return the directory, made if it is missing.

    The model's reference inputs fix the static shapes of engines that need them. Of a model that
    came as an ONNX file its graph is written, with these weights: engines that read a checkpoint
    say that there is none.

    Raises
    ------
    TvmSparseError
        The graph cannot be written.
    """
    if model.spec.model.endswith(ONNX_ENDING):
        write_json(directory / CONFIG_FILE, model.facts.config)
        _write_graph(directory / MODEL_FILE, model, progress)
    else:
        write_torch_checkpoint(directory, model.facts, model.params)
    np.savez(directory / INPUTS_FILE, **dict(model.reference.inputs))  # type: ignore[arg-type]
    return directory


def _write_graph(path: Path, model: Model, progress: Progress) -> None:
    # Workers read checkpoints, and need nothing that writes one.
    from tvm_sparse.importers.onnx.write import write_model

    original, source = model.reference.params, resolve_source(model.spec)
    changed = {
        name: value
        for name, value in model.params.items()
        if not np.array_equal(value, original[name])
    }
    write_model(model.spec, source, changed, path, progress)


def read_config(directory: Path) -> dict[str, Any]:
    """Return the configuration in a checkpoint directory."""
    config: dict[str, Any] = read_json(directory / CONFIG_FILE, BuildError)
    return config


def read_inputs(directory: Path) -> dict[str, NDArray[Any]]:
    """Return the inputs in a checkpoint directory by name."""
    with np.load(directory / INPUTS_FILE, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
