"""An imported model's weights as the checkpoint directory every other engine reads.

Weights have TensorFlow's names and (K, N) kernels here; the directory has the names and (N, K)
weights that transformers' PyTorch classes save, which its TensorFlow classes read as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import BuildError
from tvm_sparse.model.model import Model
from tvm_sparse.records.read import read_json
from tvm_sparse.records.write import write_json

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
INPUTS_FILE = "inputs.npz"

_LAST_PART = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}


def write_checkpoint(directory: Path, model: Model) -> Path:
    """Write weights, configuration and inputs, and return the directory.

    Parameters
    ----------
    directory : Path
        Made if it is missing.
    model : Model
        Its reference inputs fix the static shapes of engines that need them.
    """
    from safetensors.numpy import save_file

    directory.mkdir(parents=True, exist_ok=True)
    tensors = dict(to_torch(name, value) for name, value in model.params.items())
    save_file(tensors, directory / WEIGHTS_FILE, metadata={"format": "pt"})
    config = {**model.facts.config, "architectures": [model.facts.architecture]}
    write_json(directory / CONFIG_FILE, config)
    np.savez(directory / INPUTS_FILE, **dict(model.reference.inputs))  # type: ignore[arg-type]
    return directory


def to_torch(name: str, value: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """Return a weight's name and value as transformers' PyTorch classes have them.

    Parameters
    ----------
    name : str
        TensorFlow's name, e.g. `bert/encoder/layer_._0/output/dense/kernel`.
    value : numpy.ndarray
        TensorFlow's value; kernels of dense layers are (K, N).

    Returns
    -------
    (str, numpy.ndarray)
        E.g. `bert.encoder.layer.0.output.dense.weight` and the (N, K) weight, contiguous.
    """
    # `a___b` is TensorFlow's scope for a PyTorch module b below a list; `_._` an index in a list.
    parts = [part.rpartition("___")[2] for part in name.replace("_._", "/").split("/")]
    last = parts[-1]
    parts[-1] = _LAST_PART.get(last, last)
    if last == "kernel":
        # (K, N) of dense layers, (H, W, in, out) of convolutions.
        value = value.T if value.ndim == 2 else value.transpose(3, 2, 0, 1)
    return ".".join(parts), np.ascontiguousarray(value)


def read_config(directory: Path) -> dict[str, Any]:
    """Return the configuration in a checkpoint directory."""
    config: dict[str, Any] = read_json(directory / CONFIG_FILE, BuildError)
    return config


def read_inputs(directory: Path) -> dict[str, NDArray[Any]]:
    """Return the inputs in a checkpoint directory by name."""
    with np.load(directory / INPUTS_FILE, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
