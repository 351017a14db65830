"""Write a model with seeded weights, which has no files, as a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.pruning.tensor_names import checkpoint_name
from tvm_sparse.records.write import write_json


def write_seeded_checkpoint(
    directory: Path, params: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> None:
    """Write `config.json` and `model.safetensors`.

    Parameters
    ----------
    directory : Path
        An empty directory.
    params : mapping of str to ndarray
        All weights as imported, TensorFlow's names and orientation.
    config : mapping
        The model's config.
    """
    from safetensors.numpy import save_file

    tensors = {
        checkpoint_name(name): np.ascontiguousarray(
            value.T if name.rpartition("/")[2] == "kernel" and value.ndim == 2 else value
        )
        for name, value in params.items()
    }
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    write_json(directory / "config.json", dict(sorted(config.items())))
